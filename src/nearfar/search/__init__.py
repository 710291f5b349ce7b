"""An index on disk that lasts."""
