"""Small changes to a trained network's weights."""
