"""What several probes share: checked inputs, the choice of a strength."""
