"""Datasets: what a model learns from, as dicts of x and what is known about it."""

from collections.abc import Callable

from .dataset import Between, Dataset, Tensors, in_classes
from .feed import feed
from .files.clips import Clips
from .files.folder import Folder, Pairs
from .files.lines import lines
from .files.meshes import Meshes
from .files.signals import Signals
from .files.sounds import Sounds
from .files.volumes import Volumes
from .plan import Plan
from .sets.arrays import npz
from .sets.cifar import cifar10
from .sets.heartbeats import Heartbeats
from .sets.idx import fashion_mnist, mnist
from .sets.moving_digits import MovingDigits
from .sets.shapes import shapes, shapes_text
from .sets.toys import checkerboard, digits, mnist_5k, moons, pinwheel, swiss_roll

DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits, "mnist_5k": mnist_5k, "mnist": mnist, "fashion_mnist": fashion_mnist, "cifar10": cifar10, "folder": Folder, "pairs": Pairs,
    "npz": npz, "between": Between, "moons": moons, "swiss_roll": swiss_roll, "checkerboard": checkerboard, "pinwheel": pinwheel, "shapes": shapes,
    "shapes_text": shapes_text, "meshes": Meshes, "lines": lines, "sound": Sounds, "moving_digits": MovingDigits, "clips": Clips,
    "signals": Signals, "heartbeats": Heartbeats, "volumes": Volumes,
}  # fmt: skip
