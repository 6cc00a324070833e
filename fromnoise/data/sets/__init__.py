"""Published and drawn data sets, by name."""
