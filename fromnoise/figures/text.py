"""Lines of text as pictures to look at, files to keep, and a page to read."""

import textwrap
from html import escape
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..config import Recipe
from ..data.files.lines import decoded
from ..evaluation import returned
from ..files import replacing

LETTERS, ROWS = 24, 4  # of a tile: letters of a row, and rows at most
SIZE, EDGE = 13, 8  # pixels: of the letters, and of the rim around them
GROUND, INK = (246, 248, 250), (36, 41, 47)


def tiles(x: Tensor, scale: int = 0) -> list[Image.Image]:
    """Each line (N, 1, L), wrapped, in as many rows as the longest example can have, " …" where that is more than ROWS."""
    font = ImageFont.load_default(SIZE * (scale or 1))
    height, width = (round(part * SIZE * (scale or 1)) for part in (1.4, 0.62))
    rows, edge, shown = min(ROWS, -(-x.shape[-1] // LETTERS)), EDGE * (scale or 1), []
    for text in decoded(x):
        tile = Image.new("RGB", (LETTERS * width + 2 * edge, rows * height + 2 * edge), GROUND)
        words = textwrap.wrap(text, LETTERS, max_lines=rows, placeholder=" …")
        ImageDraw.Draw(tile).multiline_text((edge, edge), "\n".join(words), INK, font, spacing=height - SIZE * (scale or 1))
        shown.append(tile)
    return shown


def write(x: Tensor, path: Path, recipe: Recipe) -> Path:
    """Writes one line each, as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{text}\n" for text in decoded(x)), encoding="utf-8")
    return path


def player(file: Path) -> str:
    """The lines of a file as HTML."""
    return f"<pre>{escape(file.read_text(encoding='utf-8', errors='replace'))}</pre>"


def printed(x: Tensor, recipe: Recipe) -> list[str]:
    """The lines of examples (N, 1, L)."""
    return decoded(x)


def likeness(x: Tensor, x_hat: Tensor) -> list[str]:
    """Which share of each line's bytes came back."""
    return [f"{share:.0%}" for share in returned(x, x_hat).tolist()]
