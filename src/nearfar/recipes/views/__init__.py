"""Recipes that differ in how views, positives and negatives are come by: teachers, queues, crops."""
