"""One method, one file, in a folder a family."""
