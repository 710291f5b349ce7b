"""A page and an HTTP API over indexes: what `nearfar serve` runs."""
