"""Recipes of two or more modalities: pictures, texts and other languages in one space."""
