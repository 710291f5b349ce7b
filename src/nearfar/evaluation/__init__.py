"""Suites of tasks: what a model is worth on data of many kinds, measured in one go."""
