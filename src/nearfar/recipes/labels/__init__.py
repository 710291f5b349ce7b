"""Recipes that learn from labels: classes with few records, classes to be found, values to be foretold."""
