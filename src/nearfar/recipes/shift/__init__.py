"""Data that change while one learns, or from one place to another: continual learning, domains, distribution shift."""
