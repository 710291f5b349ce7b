"""Reads the cards and renders what repeats them: lists, pages, citations, coverage, stubs, the site. Imports no part."""
