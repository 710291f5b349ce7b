"""What is fitted to the vectors of a trained model and applied to them from then on: whitening, a rotation."""
