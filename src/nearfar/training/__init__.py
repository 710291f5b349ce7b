"""One training loop, its checkpoints and run records; what `nf.train` and `nf.load` do."""
