"""How positives are made: one view a file, every draw a function of the record."""
