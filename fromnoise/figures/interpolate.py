"""What lies between noises: rows, squares, and walks as films."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from ..editing import between
from .animation import gif
from .picture import sheet, tiles
from .strip import strip

if TYPE_CHECKING:
    from ..model import Model


def interpolate(model: "Model", noises: Tensor, n: int = 9, square: bool = False, ends: Sequence[str] = (), **asked: Any) -> Image.Image:
    """Samples between noises (k, rows, C, *S): a row for each, `ends` naming the k that are met; or n by n in a square of four, of the first row.

    asked: blend, sampler, steps and conditions, as in `edit.between`.
    """
    if square:
        return sheet([tiles(x)[0] for x in between(model, noises[:, :1], n, True, **asked).float().cpu()], n)
    columns = [tiles(x) for x in between(model, noises, n, **asked).float().cpu()]
    at = [i * (len(noises) - 1) / (n - 1) for i in range(n)]
    return strip([*zip(*columns, strict=True)], columns=[ends[round(t)] if ends and t % 1 == 0 else "" for t in at] if ends else ())


def latent_walk(model: "Model", noises: Tensor, path: str | Path, n: int, seconds: float = 4.0, **asked: Any) -> Path:
    """The way through noises (k, rows, C, *S) as a GIF of n frames, each a sheet of all rows; returns the path."""
    return gif([sheet(tiles(x)) for x in between(model, noises, n, **asked).float().cpu()], path, seconds)
