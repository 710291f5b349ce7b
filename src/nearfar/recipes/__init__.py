"""One method, one file, in a folder a family: parts composed, with the paper they come from."""
