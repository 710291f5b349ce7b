"""What is measured of a trained model on a part of a data set: the yardsticks of claims."""
