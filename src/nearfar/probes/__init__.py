"""What a representation is worth: retrieval by ranks, statistics with intervals, baselines."""
