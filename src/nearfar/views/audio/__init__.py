"""Views of sound waves."""
