"""Contrast at decoding time and between models: ways to generate, for any language model of `transformers`."""
