"""Samples made of pictures, beside the pictures that they should have become."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..conditions.hints import grey
from ..data import Dataset
from ..errors import Problem, Usage
from ..model import Model, Sampling
from .card import Cells, Table, figure
from .examples import check_data, read_conditions, spread
from .features import NAME, SMALLEST, Perceptual, as_saved
from .metrics.pictures import psnr
from .protocol import Progress, drawn

AT_ONCE = 256
PROTOCOL = (
    "{n:,} held-out pairs, one sample of each, 8 bits. MAE of 255 grey values; PSNR of each picture, averaged.{distance}"
    " Mean colour: that of {m:,} training targets, wherever nothing is given."
)


@dataclass(frozen=True)
class Error:
    """How far pictures are from the targets: mean absolute error (of 255), mean peak signal-to-noise ratio (dB), perceptual distance."""

    of: str
    mae: float
    psnr: float
    distance: float | None = None


@dataclass(frozen=True)
class Pairs(Table):
    """The errors of n samples, and of what needs no model: the input as it is, and the mean colour."""

    title: str
    n: int
    protocol: str
    rows: list[Error]

    def __getitem__(self, of: str) -> Error:
        return next(row for row in self.rows if row.of == of)

    def cells(self) -> Cells:
        headings = ("pictures", "MAE ↓", "PSNR ↑", f"{NAME} ↓")[: 3 if self.rows[0].distance is None else 4]
        rows = [(row.of, figure(row.mae), f"{row.psnr:.2f} dB", figure(row.distance))[: len(headings)] for row in self.rows]
        return self.title, self.protocol, headings, rows


def score_pairs(
    model: Model, train: Dataset, test: Dataset, n: int, sampling: Sampling,
    perceptual: Perceptual | None = None, progress: Progress | None = None,
) -> Pairs:  # fmt: skip
    """How near a sample of each of n held-out inputs (all there are, where they are fewer) comes to its target."""
    if "image" not in model.conditions or len(model.shape) != 3:
        raise Usage("this model makes no pictures of pictures, so there are no pairs to measure; leave --pairs out")
    if perceptual and min(model.shape[1:]) < SMALLEST:
        raise Usage(f"{NAME} needs pictures of {SMALLEST} pixels a side or more, these have {model.shape[1:]}; leave --perceptual out")
    for data in (train, test):
        check_data(model, data)
    n = min(n, len(test))
    batch = test.get(spread(n, len(test)))
    conditions, targets = model.with_defaults(n, read_conditions(model, batch)), batch["x"].cpu()
    samples = drawn(model, n, sampling, conditions, None if progress is None else lambda done: progress(done, n))
    mean, m = mean_colour(train)
    inputs = conditions["image"].cpu()
    condition: Any = model.conditions["image"]
    known = condition.known(inputs)
    plain = mean.expand_as(targets) if known is None else torch.where(known[1] > 0, known[0], mean)
    compared = {"samples": samples, "the input": as_target(inputs if known is None else known[0], model.shape[0]), "mean colour": plain}
    rows = [_error(name, pictures, targets, perceptual) for name, pictures in compared.items() if pictures is not None]
    protocol = PROTOCOL.format(n=n, m=m, distance=f" {NAME}: SqueezeNet 1.1." if perceptual else "")
    return Pairs(f"{test.name}, {n:,} samples beside their targets", n, protocol, rows)


def mean_colour(train: Dataset, most: int = 10_000) -> tuple[Tensor, int]:
    """The mean (C, 1, 1) of every channel over training targets, and of how many, from all over the set."""
    count = min(most, len(train))
    parts = spread(count, len(train)).split(AT_ONCE)
    total = torch.stack([train.get(part)["x"].cpu().double().mean((2, 3)).sum(0) for part in parts]).sum(0)
    return (total / count).float()[:, None, None], count


def as_target(picture: Tensor, channels: int) -> Tensor | None:
    """The inputs (n, C', H, W) as pictures of the target's channels; None where there is no such picture."""
    if channels == 1 and picture.shape[1] == 3:
        picture = grey(picture)
    return picture.expand(-1, channels, -1, -1) if picture.shape[1] in (1, channels) else None


@torch.no_grad()
def _error(name: str, pictures: Tensor, targets: Tensor, perceptual: Perceptual | None) -> Error:
    if not pictures.isfinite().all():
        raise Problem("some samples are not finite; take more steps or less guidance")
    pictures, targets = as_saved(pictures), as_saved(targets)
    parts = zip(pictures[:, :3].split(AT_ONCE), targets[:, :3].split(AT_ONCE), strict=True)
    distance = torch.cat([perceptual(one, other) for one, other in parts]).mean().item() if perceptual else None
    mae = 255 * (pictures - targets).double().abs().mean().item() / 2
    return Error(name, mae, psnr(pictures, targets).mean().item(), distance)
