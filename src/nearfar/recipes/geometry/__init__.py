"""Recipes about the geometry of representations: uniformity, tolerance, collapse, what temperature and views do to them."""
