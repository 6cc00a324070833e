"""Guidance against steps, as pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from .picture import sheet, tiles
from .process import number
from .strip import strip

if TYPE_CHECKING:
    from ..model import Model

FEW = 4  # samples in a cell


def guidance(
    model: "Model", scales: Sequence[float] = (1, 2, 4, 8), steps: Sequence[int] = (5, 10, 20, 50), n: int | None = None, **asked: Any
) -> Image.Image:
    """The same n seeds at every scale of guidance (rows) and number of steps (columns); asked as in `Model.sample`."""
    n = number(model.shape, n, FEW)

    def cell(scale: float, count: int) -> Image.Image:
        return sheet(tiles(model.sample(n, guidance=scale, steps=count, **asked).float().cpu()))

    rows = [[cell(scale, count) for count in steps] for scale in scales]
    return strip(rows, [f"guidance {scale:g}" for scale in scales], [f"{count} step{'s' * (count != 1)}" for count in steps])
