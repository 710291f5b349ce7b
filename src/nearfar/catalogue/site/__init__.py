"""Renders everything that is known of parts, recipes, claims and systems as static pages: `make docs`."""
