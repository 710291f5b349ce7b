"""Recipes for the places of a picture: patches, pixels, points, each with a vector of its own."""
