"""Exact evaluation of an objective: plain, in tiles; the same loss and gradient whichever way."""
