"""Datasets: what a model learns from, as dicts of x and what is known about it."""

from collections.abc import Callable

from .arrays import npz
from .cifar import cifar10
from .dataset import Dataset, Tensors
from .digits import digits
from .feed import Plan, feed
from .folder import folder
from .idx import fashion_mnist, mnist
from .pairs import pairs
from .plan import mixed
from .scenes import shapes_text
from .shapes import shapes
from .toys import checkerboard, moons, pinwheel, swiss_roll

DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "folder": folder,
    "pairs": pairs,
    "npz": npz,
    "moons": moons,
    "swiss_roll": swiss_roll,
    "checkerboard": checkerboard,
    "pinwheel": pinwheel,
    "shapes": shapes,
    "shapes_text": shapes_text,
}

__all__ = ["DATASETS", "Dataset", "Plan", "Tensors", "feed", "mixed"]
