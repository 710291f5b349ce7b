"""Records in, vectors out. An encoder knows no batch: what it makes of a record depends on that record alone."""
