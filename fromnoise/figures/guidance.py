"""Guidance against steps, as pictures."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from ..model import Model, Sampling
from .picture import sheet, tiles
from .process import number
from .strip import strip

FEW = 4  # samples in a cell


def at_scale(sampling: Sampling, scale: float) -> Sampling:
    """The sampling with guidance of this scale; at 1, the conditional model alone, nothing is led away from."""
    return replace(sampling, guidance=scale, **({"negative": None, "weak": None} if scale == 1 else {}))


def guidance(
    model: Model,
    scales: Sequence[float] = (1, 2, 4, 8),
    steps: Sequence[int] = (5, 10, 20, 50),
    n: int | None = None,
    sampling: Sampling | None = None,
    **conditions: Any,
) -> Image.Image:
    """The same n seeds at every scale of guidance (rows) and number of steps (columns)."""
    n, sampling = number(model.shape, n, FEW), sampling or model.sampling
    conditions = model.with_defaults(n, conditions)

    def cell(scale: float, count: int) -> Image.Image:
        return sheet(tiles(model.sample(n, replace(at_scale(sampling, scale), steps=count), **conditions).float().cpu()))

    rows = [[cell(scale, count) for count in steps] for scale in scales]
    return strip(rows, [f"guidance {scale:g}" for scale in scales], [f"{count} step{'s' * (count != 1)}" for count in steps])
