"""What an autoencoder keeps of pictures, and what it loses."""

from PIL import Image
from torch import Tensor

from .media import medium_of, tiles
from .strip import strip

LOUDER = 4  # times, so that a difference can be seen


def reconstructions(x: Tensor, x_hat: Tensor, columns: int, medium: str | None = None) -> Image.Image:
    """Rows of pictures (n, C, *S), each with their reconstructions below, how near each is (its PSNR in dB), and the difference, grey where there is none.

    Where the difference of two examples is none itself (`Medium.differs`), as of shapes in space, it has no row.
    """
    shown = {"input": x, "reconstruction": x_hat}
    if medium_of(x.shape[1:], medium).differs:
        shown[f"difference\n{LOUDER} times"] = (LOUDER * (x_hat - x)).clamp(-1, 1)
    words, parts = medium_of(x.shape[1:], medium).likeness(x, x_hat), [tiles(part, None, medium) for part in shown.values()]
    starts = range(0, len(x), columns)
    rows = [row for i in starts for row in (*(part[i : i + columns] for part in parts), None)]
    said = [line for i in starts for line in ((), words[i : i + columns], *[()] * (len(parts) - 2))]
    return strip(rows[:-1], [*shown] * len(starts), captions=said)
