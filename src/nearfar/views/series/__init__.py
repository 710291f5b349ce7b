"""Views of time series."""
