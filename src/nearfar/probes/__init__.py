"""What a representation is worth: retrieval, statistics, baselines."""
