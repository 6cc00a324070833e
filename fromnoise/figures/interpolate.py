"""What lies between noises: rows, squares, and walks as films."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ..editing import Blend, between, slerp
from ..model import Model, Sampling
from .animation import gif
from .media import at_moment, tiles
from .picture import sheet
from .samples import said
from .strip import strip, titled


def interpolate(
    model: Model, noises: Tensor, n: int = 9, square: bool = False, ends: Sequence[str] = (), blend: Blend = slerp,
    sampling: Sampling | None = None, **conditions: Any,
) -> Image.Image:  # fmt: skip
    """Samples between noises (k, rows, C, *S): a row for each, named by its class or caption, `ends` naming the k that are met; or n by n in a square of four,
    of the first row. blend, sampling and conditions as in `editing.between`."""
    noises = noises[:, :1] if square else noises
    found = between(model, noises, n, square, blend, sampling, **conditions).float().cpu()
    columns = [tiles(x, None, model.medium, model.units) for x in found]
    names = said(model.with_defaults(noises.shape[1], conditions), model.classes) if len(model.shape) > 1 else []
    if square:
        words = (*(" – ".join(pair) for pair in (ends[:2], ends[2:]) if ends), *(" ".join(name.split()) for name in names))
        return titled(sheet([column[0] for column in columns], n), "\n".join(words)) if words else sheet([column[0] for column in columns], n)
    at = [i * (len(noises) - 1) / (n - 1) for i in range(n)]
    return strip([*zip(*columns, strict=True)], names, [ends[round(t)] if ends and t % 1 == 0 else "" for t in at] if ends else ())


def latent_walk(
    model: Model, noises: Tensor, path: str | Path, n: int, seconds: float = 4.0, blend: Blend = slerp,
    sampling: Sampling | None = None, **conditions: Any,
) -> Path:  # fmt: skip
    """The way through noises (k, rows, C, *S) as a GIF of n frames, each a sheet of all rows; clips play on as it goes; returns the path."""
    frames = between(model, noises, n, False, blend, sampling, **conditions).float().cpu()
    shown = [at_moment(x, i, model.medium) for i, x in enumerate(frames)]
    return gif([sheet(tiles(x, None, medium, model.units)) for x, medium in shown], path, seconds)
