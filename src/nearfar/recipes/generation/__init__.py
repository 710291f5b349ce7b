"""Recipes that generate: contrast at decoding time and between models."""
