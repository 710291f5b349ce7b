"""Hard negatives found with a trained model and written as training data, in bounded memory, resumable."""
