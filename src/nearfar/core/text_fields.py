"""Fields of a text: a head (a title, a name) and a body, divided by one character. Encoders, views and readers agree on it here."""

from __future__ import annotations

FIELD = "\x1f"  # ASCII's unit separator: no text that people write holds it; Python counts it as white space
