"""Points in the plane: distributions that train in seconds and can be looked at whole."""

import math

import torch
from torch import Tensor

from ...draws import mixed
from ..dataset import Tensors, check_split


def moons(count: int = 8192, noise: float = 0.05, seed: int = 0, split: str = "train") -> Tensors:
    """Two interleaved half circles in the plane, one class each."""
    draw = _Draw(count, seed, split)
    angle, label = math.pi * draw.uniform(), draw.classes(2)
    x, y = torch.cos(angle), torch.sin(angle)
    upper, lower = torch.stack([x - 0.5, y - 0.25], 1), torch.stack([0.5 - x, 0.25 - y], 1)
    return draw.dataset("moons", torch.where(label[:, None] == 0, upper, lower), noise, label, ("upper", "lower"))


def swiss_roll(count: int = 8192, noise: float = 0.03, seed: int = 0, split: str = "train") -> Tensors:
    """A spiral of one and a half turns in the plane."""
    draw = _Draw(count, seed, split)
    angle = 1.5 * math.pi * (1 + 2 * draw.uniform())
    radius = angle / (4.5 * math.pi) * 1.4
    return draw.dataset("swiss_roll", torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], 1), noise)


def checkerboard(count: int = 8192, noise: float = 0.0, seed: int = 0, split: str = "train") -> Tensors:
    """The eight black squares of a 4 by 4 board on [-1.5, 1.5], evenly filled."""
    draw = _Draw(count, seed, split)
    square = draw.classes(8)
    row, column = square // 2, 2 * (square % 2)
    corner = torch.stack([column + row % 2, row], 1)
    inside = torch.stack([draw.uniform(), draw.uniform()], 1)
    return draw.dataset("checkerboard", 0.75 * (corner + inside) - 1.5, noise)


def pinwheel(count: int = 8192, noise: float = 0.0, arms: int = 5, seed: int = 0, split: str = "train") -> Tensors:
    """Twisted arms around the origin, one class each."""
    draw = _Draw(count, seed, split)
    label = draw.classes(arms)
    along, across = 0.7 + 0.22 * draw.normal(), 0.06 * draw.normal()
    turn = 2 * math.pi * label / arms + 1.2 * along
    x = torch.stack([along * torch.cos(turn) - across * torch.sin(turn), along * torch.sin(turn) + across * torch.cos(turn)], 1)
    return draw.dataset("pinwheel", x, noise, label, tuple(str(arm) for arm in range(arms)))


class _Draw:
    """Random numbers for `count` points, other ones for each split, and the dataset that they end in."""

    def __init__(self, count: int, seed: int, split: str):
        check_split(split)
        self.count = count
        self.generator = torch.Generator().manual_seed(mixed("toy", seed, split))

    def uniform(self) -> Tensor:
        return torch.rand(self.count, generator=self.generator)

    def normal(self) -> Tensor:
        return torch.randn(self.count, generator=self.generator)

    def classes(self, n: int) -> Tensor:
        return torch.randint(n, (self.count,), generator=self.generator)

    def dataset(self, name: str, x: Tensor, noise: float, label: Tensor | None = None, classes: tuple[str, ...] = ()) -> Tensors:
        return Tensors(name, x + noise * torch.randn(x.shape, generator=self.generator), label, classes=classes)
