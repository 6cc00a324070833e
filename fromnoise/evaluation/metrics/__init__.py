"""Arithmetic on features, points and pictures: distances, shares and errors. Nothing here draws samples or knows a model."""
