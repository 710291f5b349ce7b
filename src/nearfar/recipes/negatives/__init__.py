"""Recipes that choose, make, weigh or clean negatives."""
