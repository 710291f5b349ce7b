"""Views of source code."""
