"""Pictures beside what was made of them."""

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from ..diffusion import Level
from .media import tiles
from .picture import even
from .process import unit_variance
from .strip import strip


def edited(made: Tensor, *beside: Tensor) -> Image.Image:
    """Results (n, C, H, W) in rows of at most 8, with what they were made from on the left of the first: the picture (1, C, H, W), and what is kept of it."""
    first = [tiles(part)[0] for part in beside]
    blank = [tile.point(lambda value: 255) for tile in first]
    rows = [[*(blank if i else first), *tiles(part)] for i, part in enumerate(made.split(min(8, even(len(made)))))]
    return strip(rows, columns=("picture", "kept")[: len(beside)])


def inverted(pictures: Tensor, noise: Tensor, back: Tensor, level: Level, captions: Sequence[str]) -> Image.Image:
    """Pictures, the noise at a `level` that they were taken up to, and what is drawn from it, each (n, C, H, W); a caption under each of the last."""
    grey = unit_variance(noise, level) / 3  # over three standard deviations
    rows = [*zip(*map(tiles, (pictures, grey, back)), strict=True)]
    return strip(rows, columns=("picture", "noise", "reconstruction"), captions=[("", "", said) for said in captions])
