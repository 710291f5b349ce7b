"""Recipes for graphs, knowledge and recommendation."""
