"""Tiles in named rows and columns, with words under them where numbers belong."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..errors import Usage
from .picture import FAINT, INK, PAPER

Row = Sequence[Image.Image] | None  # None is a gap between two groups of rows
GAP, SPACE, FOOT = 14, 12, 20  # pixels: between groups of rows, beside row names, for captions


@cache
def font(size: int = 13) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which Matplotlib carries, so that every machine draws the same letters (sizes in pixels)."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)


def strip(
    rows: Sequence[Row],
    names: Sequence[str] = (),
    columns: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    pad: int = 3,
    margin: int = 12,
) -> Image.Image:
    """Rows of tiles with row names at the left, column names above and captions below each tile.

    `names` and `captions` go with the rows that are not None. The first line of a name is dark, further lines are fainter and smaller.
    """
    full = [row for row in rows if row]
    if not full:
        raise Usage("there is nothing to draw; make at least one sample (-n 1)")
    words = [captions[i] if i < len(captions) else () for i in range(len(full))]
    width = _column(full, columns, words) + pad  # one for all, so that the eye can compare
    gutter = max((_size(name)[0] for name in names), default=0) + (SPACE if names else 0)
    head = max((_size(name)[1] for name in columns), default=0) + (6 if columns else 0)
    heights = [max(t.height for t in row) + pad + (FOOT if any(said) else 0) for row, said in zip(full, words, strict=True)]
    size = (2 * margin + gutter + width * max(map(len, full)), 2 * margin + head + sum(heights) + GAP * (len(rows) - len(full)))
    canvas = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(canvas)
    left, top, index = margin + gutter, margin + head, 0
    for i, name in enumerate(columns):
        _write(draw, name, left + (i + 0.5) * width, top - 6 - _size(name)[1], "middle")
    for row in rows:
        if not row:
            top += GAP
            continue
        tall = max(t.height for t in row)
        if index < len(names):
            _write(draw, names[index], left - SPACE, top + (tall - _size(names[index])[1]) / 2, "right")
        for i, tile in enumerate(row):
            canvas.paste(tile, (left + round(i * width + (width - tile.width) / 2), top))
            if i < len(words[index]):
                _write(draw, "\n" + words[index][i], left + (i + 0.5) * width, top + tall + 3 - _size("x")[1], "middle")
        top, index = top + heights[index], index + 1
    return canvas


def _column(full: Sequence[Sequence[Image.Image]], columns: Sequence[str], captions: Sequence[Sequence[str]]) -> int:
    words = [*columns, *("\n" + word for line in captions for word in line)]
    return max([tile.width for row in full for tile in row] + [_size(word)[0] + 8 for word in words])


def _lines(text: str) -> list[tuple[str, int, tuple[int, int, int]]]:
    first, *rest = text.split("\n")
    return [(first, 13, INK)] + [(line, 11, FAINT) for line in rest]


def _size(text: str) -> tuple[int, int]:
    lines = _lines(text)
    return max(round(font(size).getlength(line)) for line, size, _ in lines), sum(size + 4 for _, size, _ in lines)


def _write(draw: ImageDraw.ImageDraw, text: str, x: float, y: float, align: str) -> None:
    anchor = {"middle": "ma", "right": "ra", "left": "la"}[align]
    for line, size, colour in _lines(text):
        draw.text((round(x), round(y)), line, fill=colour, font=font(size), anchor=anchor)
        y += size + 4


def titled(picture: Image.Image, text: str, height: int = 24) -> Image.Image:
    """The picture with a line of small words below it, as GIF frames carry their step."""
    canvas = Image.new("L" if picture.mode == "L" else "RGB", (picture.width, picture.height + height), "white")
    canvas.paste(picture, (0, 0))
    ink = FAINT[0] if picture.mode == "L" else FAINT
    ImageDraw.Draw(canvas).text((picture.width // 2, picture.height + height // 2 - 1), text, fill=ink, font=font(12), anchor="mm")
    return canvas


def beside(*parts: Image.Image, gap: int = 8) -> Image.Image:
    """Pictures side by side, centred in height."""
    height = max(p.height for p in parts)
    mode = "L" if all(p.mode == "L" for p in parts) else "RGB"
    canvas = Image.new(mode, (sum(p.width for p in parts) + gap * (len(parts) - 1), height), "white")
    left = 0
    for part in parts:
        canvas.paste(part, (left, (height - part.height) // 2))
        left += part.width + gap
    return canvas


def above(*parts: Image.Image, gap: int = 0) -> Image.Image:
    """Pictures one above the other, centred in width."""
    width = max(p.width for p in parts)
    canvas = Image.new("RGB", (width, sum(p.height for p in parts) + gap * (len(parts) - 1)), PAPER)
    top = 0
    for part in parts:
        canvas.paste(part, ((width - part.width) // 2, top))
        top += part.height + gap
    return canvas
