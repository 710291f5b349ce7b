"""Keys beyond the batch: queues and other memories."""
