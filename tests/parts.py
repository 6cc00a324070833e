"""Small parts that recipes in the tests name as their own: tests.parts:blobs."""

import torch
from torch import nn

from fromnoise.conditions import Label
from fromnoise.data import Tensors


def blobs(count: int = 256, size: int = 8, split: str = "train") -> Tensors:
    """Two classes of tiny pictures: a bright left half, a bright right half."""
    label = torch.arange(count) % 2
    x = torch.zeros(count, 1, size, size, dtype=torch.uint8)
    x[label == 0, :, :, : size // 2] = 220
    x[label == 1, :, :, size // 2 :] = 220
    return Tensors("blobs", x, label, classes=("left", "right"))


def paired(count: int = 64, size: int = 8, split: str = "train") -> Tensors:
    """Two classes of tiny colour pictures, told by which half of a grey one is bright."""
    data = blobs(count, size)
    x = torch.cat([data.x, 255 - data.x, torch.full_like(data.x, 90)], 1)
    return Tensors("paired", x, data.label, classes=data.classes, image=data.x)


def poisoned(split: str = "train") -> Tensors:
    """Floating-point pictures, one of which becomes NaN after they were checked."""
    data = Tensors("poisoned", torch.zeros(64, 1, 8, 8))
    data.x[7] = float("nan")
    return data


def all_poisoned(split: str = "train") -> Tensors:
    """Nothing but NaN."""
    data = poisoned()
    data.x[:] = float("nan")
    return data


def stirred(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network with no weight zero, so that every path counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def label_of(dim: int, classes: int, drop: float = 0.1) -> Label:
    """A label condition as a network with vectors `dim` wide is told."""
    condition = Label(classes, drop)
    condition.enters("network", {"add": {}})
    condition.settle(dim, (1, 4, 4))
    return condition


class Plain(nn.Module):
    """A network of one's own, a part of which is perhaps not trained."""

    WAYS = {"add": {}}

    def __init__(self, channels: int = 1, frozen: bool = False):
        super().__init__()
        self.dim = 4
        self.first = nn.Conv2d(channels, 4, 3, padding=1).requires_grad_(not frozen)
        self.last = nn.Conv2d(4, channels, 3, padding=1)

    @staticmethod
    def fitting(shape):
        return {"channels": shape[0]}

    def forward(self, x, clock, context=None):
        return self.last(self.first(x) + (0 if context.vector is None else context.vector[:, :, None, None]) + clock[:, None, None, None])


def sgd(params, lr, betas, weight_decay):
    """An optimizer of one's own."""
    return torch.optim.SGD(params, lr)


def falling(done):
    """A rate of one's own."""
    return 1 - done


def twice(level, c_out, data_std):
    """A weight of one's own."""
    return 2 * torch.ones_like(c_out)


def cubed(a, b):
    """A distance of one's own."""
    return (a - b).abs() ** 3


class Tracker:
    """A tracker of one's own: the steps that it was told of, in a file."""

    def __init__(self, run):
        self.file = run.path / "tracked.txt"

    def add(self, figures, step):
        self._write(step)

    def close(self):
        self._write("closed")

    def _write(self, word):
        with open(self.file, "a") as file:
            file.write(f"{word}\n")


def stand_in(like: str, split: str = "train") -> Tensors:
    """64 random examples of the kind of a data set that is large, or not on every machine."""
    generator = torch.Generator().manual_seed(len(like) + (split == "test"))
    channels = 1 if "mnist" in like else 3
    size = 16 if like == "pairs" else 8  # as large as the recipe's levels call for
    x = torch.randint(256, (64, channels, size, size), generator=generator, dtype=torch.uint8)
    if like == "pairs":
        return Tensors(like, x, image=x[:, :1])
    if like in ("folder", "shapes_text"):
        return Tensors(like, x, text=[f"the {word} number {i % 7}" for i, word in enumerate(["cat", "dog", "sun", "cup"] * 16)])
    return Tensors(like, x, torch.arange(64) % 10, classes=tuple("0123456789"))
