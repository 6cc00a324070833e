"""Samples made of pictures, beside the pictures that they should have become."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from ...conditions.hints import grey
from ...data.dataset import Dataset
from ...errors import Problem, Usage
from ...model import Model
from ..card import shown
from ..features.features import as_saved
from ..features.perceptual import NAME, SMALLEST, Perceptual
from ..run import Draw, fits, held_out, plainly

if TYPE_CHECKING:
    from rich.table import Table

LEAST = 1e-10  # squared error, of a range of 1, below which two pictures are the same
AT_ONCE = 256

PROTOCOL = (
    "{n:,} held-out pairs, one sample of each, 8 bits. MAE of 255 grey values; PSNR of each picture, averaged.{distance}"
    " Mean colour: that of {m:,} training targets, wherever nothing is given."
)


@final
@dataclass(frozen=True)
class Error:
    """How far pictures are from the targets: mean absolute error (of 255), mean peak signal-to-noise ratio (dB), perceptual distance."""

    of: str
    mae: float
    psnr: float
    distance: float | None = None


@final
@dataclass(frozen=True)
class Pairs:
    """The errors of n samples, and of what needs no model: the input as it is, and the mean colour."""

    title: str
    n: int
    protocol: str
    rows: list[Error]

    def __getitem__(self, of: str) -> Error:
        return next(row for row in self.rows if row.of == of)

    def json(self) -> dict[str, Any]:
        """The figures as plain values, to be written as JSON."""
        return asdict(self)

    def table(self) -> "Table":
        """The figures for a terminal."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(self.title), title_justify="left", caption=escape(self.protocol), caption_justify="left")
        table.add_column("pictures")
        for heading in ("MAE ↓", "PSNR ↑", f"{NAME} ↓")[: 3 if self.rows[0].distance is not None else 2]:
            table.add_column(heading, justify="right")
        for row in self.rows:
            table.add_row(row.of, shown(row.mae), f"{row.psnr:.2f} dB", *([] if row.distance is None else [shown(row.distance)]))
        return table


def score_pairs(
    model: Model,
    train: Dataset,
    test: Dataset,
    n: int = 1000,
    walk: Mapping[str, Any] | None = None,
    seed: int = 0,
    perceptual: Perceptual | None = None,
    draw: Draw = plainly,
) -> Pairs:
    """How near a sample of each of n held-out inputs (all there are, where they are fewer) comes to its target."""
    condition = model.conditions["image"] if "image" in model.conditions else None
    if condition is None or len(model.shape) != 3:
        raise Usage("this model makes no pictures of pictures, so there are no pairs to measure; leave --pairs out")
    if perceptual and min(model.shape[1:]) < SMALLEST:
        raise Usage(f"{NAME} needs pictures of {SMALLEST} pixels a side or more, these have {model.shape[1:]}; leave --perceptual out")
    for data in (train, test):
        fits(model, data)
    n = min(n, len(test))
    targets = test.get(torch.arange(n))["x"].cpu()
    conditions = model.asked(n, held_out(model, test, n))
    made = draw(model, n, seed, None, dict(walk or {}), conditions)
    mean, m = mean_colour(train)
    known = condition.known(conditions["image"])
    plain = mean.expand_as(targets) if known is None else torch.where(known[1].cpu() > 0, known[0].cpu(), mean)
    compared = {
        "samples": made,
        "the input": as_target(condition, conditions["image"], model.shape[0]),
        "mean colour": plain,
    }
    rows = [_error(name, pictures, targets, perceptual) for name, pictures in compared.items() if pictures is not None]
    protocol = PROTOCOL.format(n=n, m=m, distance=f" {NAME}: SqueezeNet 1.1." if perceptual else "")
    return Pairs(f"{test.name}, {n:,} samples beside their targets", n, protocol, rows)


def mean_colour(train: Dataset, most: int = 10_000) -> tuple[Tensor, int]:
    """The mean (C, 1, 1) of every channel over training targets, and of how many, spread evenly over the set."""
    count = min(most, len(train))
    rows = torch.arange(count) * len(train) // count
    return sum(train.get(part)["x"].cpu().double().mean((2, 3)).sum(0) for part in rows.split(AT_ONCE)).div(count).float()[
        :, None, None
    ], count


def as_target(condition: Any, value: Tensor, channels: int) -> Tensor | None:
    """The inputs (n, C', H, W) as pictures of the target's channels, holes grey; None where there is no such picture."""
    known = condition.known(value)
    picture = value.cpu() if known is None else known[0].cpu()
    if channels == 1 and picture.shape[1] == 3:
        picture = grey(picture)
    return picture.expand(-1, channels, -1, -1) if picture.shape[1] in (1, channels) else None


@torch.no_grad()
def _error(name: str, pictures: Tensor, targets: Tensor, perceptual: Perceptual | None) -> Error:
    if not pictures.isfinite().all():
        raise Problem("some samples are not finite; take more steps or less guidance")
    apart, far = [], []
    for one, other in zip(pictures.split(AT_ONCE), targets.split(AT_ONCE), strict=True):
        one, other = as_saved(one), as_saved(other)
        apart.append(((one - other) / 2).flatten(1).double())
        if perceptual:
            far.append(perceptual(one[:, :3], other[:, :3]))
    difference = torch.cat(apart)
    psnr = -10 * difference.square().mean(1).clamp(min=LEAST).log10()
    return Error(name, float(255 * difference.abs().mean()), float(psnr.mean()), float(torch.cat(far).mean()) if far else None)
