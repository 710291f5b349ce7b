"""What is computed of all records now and then and written as a column: clusters, neighbours, hard negatives."""
