"""Where records come from and which of them share a batch."""
