"""Records in, vectors out; what an encoder makes of a record depends on that record alone."""
