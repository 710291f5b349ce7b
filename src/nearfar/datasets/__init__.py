"""Small real data for experiments, each with its parts for training, choosing and measuring."""
