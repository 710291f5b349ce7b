"""Views of rows of a table."""
