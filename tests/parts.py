"""Small parts that recipes in the tests name as their own: tests.parts:blobs."""

import math
import os
from dataclasses import dataclass

import torch
from torch import nn

from fromnoise.conditions import Example, Label
from fromnoise.config import Recipe
from fromnoise.data import Tensors
from fromnoise.data.files.lines import encoded
from fromnoise.diffusion import Source
from fromnoise.model import Model, build
from fromnoise.networks import Network


def shaped(network: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of examples for a network by its name: this, or as many points where it takes points alone."""
    return (shape[0], math.prod(shape[1:])) if network == "set_transformer" else shape


def built(recipe, shape, classes=()) -> Model:
    """The model of a recipe, given as a mapping, for examples of this shape."""
    recipe = Recipe.of(recipe)
    return build(recipe, Example(tuple(shape), tuple(classes), recipe.image))


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
    """A label condition beside a network with vectors `dim` wide."""
    condition, network = Label(classes, drop), Plain()
    network.dim = dim
    condition.init_layers(network, Example((1, 4, 4)))
    return condition


class Plain(Network):
    """A network of one's own, a part of which is perhaps not trained."""

    def __init__(self, channels: int = 1, frozen: bool = False):
        super().__init__()
        self.dim = 4
        self.first = nn.Conv2d(channels, 4, 3, padding=1).requires_grad_(not frozen)
        self.last = nn.Conv2d(4, channels, 3, padding=1)

    @classmethod
    def fitting(cls, shape):
        return {"channels": shape[0]}

    def forward(self, x, t, context=None):
        return self.last(self.first(x) + (0 if context.vector is None else context.vector[:, :, None, None]) + t[:, None, None, None])


@dataclass(frozen=True)
class Still(Source):
    """One number everywhere, in place of noise."""

    value: float = 0.0

    def __call__(self, batch, draws):
        return torch.full_like(batch["x"], self.value)

    def start(self, n, shape, noise, examples=None):
        return torch.full((n, *shape), self.value)


def half_way(level, data_std):
    """A prediction: F = (x0 + eps) / 2 - eps = (x0 - eps) / 2."""
    return torch.full_like(level.alpha, 0.5), torch.full_like(level.alpha, -0.5)


def tenths(level):
    """A clock: flow matching's t, in tenths."""
    return 10 * level.sigma / (level.alpha + level.sigma)


def doubled(level, c_out, data_std):
    """A weight: 2 at every level."""
    return torch.full_like(level.alpha, 2.0)


def fourth(a, b):
    """A distance: the fourth power."""
    return (a - b) ** 4


def darkness(x0_hat, x0):
    """A penalty: how much darker the estimate is on average."""
    return (x0.flatten(1).mean(1) - x0_hat.flatten(1).mean(1)).abs()


def tenth(steps, start, end):
    """A table of betas: 0.1 throughout."""
    return torch.full((steps,), 0.1, dtype=torch.float64)


def last_ones(n, steps):
    """A spacing: the noisiest n."""
    return torch.arange(steps - 1, steps - 1 - n, -1)


def leap(denoise, x, levels, share: float = 1.0):
    """A sampler: to the end at once, or `share` of the way."""
    x0, _ = denoise(x, levels[0])
    yield x + share * (x0 - x), x0


def sgd(params, lr, betas, weight_decay):
    """An optimizer of one's own."""
    return torch.optim.SGD(params, lr)


class Noted(torch.optim.SGD):
    """Writes the rate of each step into $NOTED and its process's number."""

    def step(self, closure=None):
        with open(f"{os.environ['NOTED']}{os.environ['RANK']}", "a") as file:
            file.write(f"{self.param_groups[0]['lr']}\n")
        return super().step(closure)


def noted(params, lr, betas, weight_decay):
    return Noted(params, lr)


def falling(done):
    """A rate of one's own."""
    return 1 - done


def twice(level, c_out, data_std):
    """A weight of one's own."""
    return 2 * torch.ones_like(c_out)


EVALUATED = []


def rising(level, c_out, data_std):
    """A weight: as it should be in training; while evaluating larger every time, and in the second of several processes more than the memory holds."""
    if torch.is_grad_enabled():
        return torch.ones_like(c_out)
    if os.environ.get("RANK") == "1":
        raise torch.OutOfMemoryError("out of memory")
    EVALUATED.append(1)
    return torch.full_like(c_out, len(EVALUATED))


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
    if like in ("volumes", "clouds"):
        return Tensors(like, torch.rand(64, *((1, 8, 8, 8) if like == "volumes" else (3, 32)), generator=generator) * 2 - 1)
    if like == "lines":
        words = [["red", "green", "blue", "grey"], ["fox", "cat", "dog", "owl"]]
        made = Tensors(like, encoded([f"{words[0][i % 4]} {words[1][i // 4 % 4]} {i}" for i in torch.randperm(640, generator=generator)[:64].tolist()], 12))
        made.medium = "text"
        return made
    if like == "sound":
        made = Tensors(like, torch.rand(64, 1, 2000, generator=generator) - 0.5, torch.arange(64) % 10, classes=tuple("0123456789"))
        made.medium = "sound"
        return made
    if like == "moving_digits":
        made = Tensors(like, torch.rand(64, 1, 4, 8, 8, generator=generator) * 2 - 1, torch.arange(64) % 10, classes=tuple("0123456789"))
        made.medium, made.rate = "videos", 8.0
        return made
    channels = 1 if "mnist" in like else 3
    size = 16 if like == "pairs" else 8  # as large as the recipe's levels call for
    x = torch.randint(256, (64, channels, size, size), generator=generator, dtype=torch.uint8)
    if like == "pairs":
        return Tensors(like, x, image=x[:, :1])
    if like in ("folder", "shapes_text"):
        return Tensors(like, x, text=[f"the {word} number {i % 7}" for i, word in enumerate(["cat", "dog", "sun", "cup"] * 16)])
    return Tensors(like, x, torch.arange(64) % 10, classes=tuple("0123456789"))


def never(split: str = "train") -> Tensors:
    """Captions, all but one of them empty."""
    data = stand_in("folder", split)
    return Tensors("never", data.x, text=["", "a cat", *[""] * 62])


def one_fails(level, c_out, data_std):
    """A weight: NaN in the second of several processes where a level is close to noise."""
    bad = os.environ.get("RANK") == "1" and float(level.sigma.max()) > 0.995
    return torch.full_like(c_out, torch.nan if bad else 1.0)
