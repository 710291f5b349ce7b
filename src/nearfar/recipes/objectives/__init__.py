"""Recipes whose paper is about the loss itself."""
