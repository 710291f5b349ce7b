"""Views of sequences of items."""
