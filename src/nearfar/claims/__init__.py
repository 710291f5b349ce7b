"""Papers' claims as experiments: run, judged, stored."""
