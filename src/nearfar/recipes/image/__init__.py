"""Recipes that learn from images."""
