"""Arithmetic on features, points and pictures: distances, shares and errors. Nothing here draws samples or knows a model."""

from .adherence import TOLERANCE, edge_overlap, shape_colour
from .distances import frechet, kid, precision_recall
from .pictures import psnr
from .points import distance_to_data, energy_distance, sliced_wasserstein
from .scenes import ATTRIBUTES, JUDGES, Tally

__all__ = [
    "ATTRIBUTES", "JUDGES", "TOLERANCE", "Tally", "distance_to_data", "edge_overlap", "energy_distance", "frechet", "kid",
    "precision_recall", "psnr", "shape_colour", "sliced_wasserstein",
]  # fmt: skip
