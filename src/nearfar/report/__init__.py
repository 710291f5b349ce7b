"""A run as one self-contained page: what was measured, how sure it is, what it looks like."""
