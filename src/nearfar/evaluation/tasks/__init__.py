"""Kinds of tasks, a file each: from files and a model to arrays, and to the probe that measures them."""
