"""Training: a run, from its recipe to its last checkpoint."""
