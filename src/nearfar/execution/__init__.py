"""Exact evaluation of an objective, plain or in tiles, with the same loss and gradient."""
