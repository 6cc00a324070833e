"""Tiles in named rows and columns, with words under them where numbers belong."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..errors import Usage
from .picture import FAINT, INK, NOTHING, PAPER

Row = Sequence[Image.Image] | None  # None is a gap between two groups of rows
GAP, SPACE, HEAD = 14, 12, 12  # pixels: between groups of rows, beside row names, that a caption reaches up
PAD, MARGIN = 3, 12  # ... between tiles, around all


@cache
def font(size: int = 13) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which Matplotlib carries, so that every machine draws the same letters (sizes in pixels)."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)


def strip(
    rows: Sequence[Row], names: Sequence[str] = (), columns: Sequence[str] = (), captions: Sequence[Sequence[str]] = ()
) -> Image.Image:
    """Rows of tiles with row names at the left, column names above and captions below each tile. `names` and `captions` go with the rows that are not None. The
    first line of a name is dark, further lines are fainter and smaller."""
    full = [row for row in rows if row]
    if not full:
        raise Usage(NOTHING)
    words = [captions[i] if i < len(captions) else () for i in range(len(full))]
    widths = [_size(word)[0] + 8 for word in (*columns, *("\n" + caption for line in words for caption in line))]
    width = max(*widths, *(tile.width for row in full for tile in row)) + PAD  # one for all, so that the eye can compare
    gutter = max((_size(name)[0] for name in names), default=0) + (SPACE if names else 0)
    head = max((_size(name)[1] for name in columns), default=0) + (6 if columns else 0)
    feet = [max((_size("\n" + caption)[1] - HEAD for caption in said if caption), default=0) for said in words]
    heights = [max(t.height for t in row) + PAD + foot for row, foot in zip(full, feet, strict=True)]
    size = (2 * MARGIN + gutter + width * max(map(len, full)), 2 * MARGIN + head + sum(heights) + GAP * (len(rows) - len(full)))
    canvas = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(canvas)
    left, top, index = MARGIN + gutter, MARGIN + head, 0
    for i, name in enumerate(columns):
        _write(draw, name, left + (i + 0.5) * width, top - 6 - _size(name)[1], "ma")
    for row in rows:
        if not row:
            top += GAP
            continue
        tall = max(t.height for t in row)
        if index < len(names):
            _write(draw, names[index], left - SPACE, top + (tall - _size(names[index])[1]) / 2, "ra")
        for i, tile in enumerate(row):
            canvas.paste(tile, (left + round(i * width + (width - tile.width) / 2), top))
            if i < len(words[index]):
                _write(draw, "\n" + words[index][i], left + (i + 0.5) * width, top + tall + 3 - _size("x")[1], "ma")
        top, index = top + heights[index], index + 1
    return canvas


def _lines(text: str) -> list[tuple[str, int, tuple[int, int, int]]]:
    first, *rest = text.split("\n")
    return [(first, 13, INK)] + [(line, 11, FAINT) for line in rest]


def _size(text: str) -> tuple[int, int]:
    lines = _lines(text)
    return max(round(font(size).getlength(line)) for line, size, _ in lines), sum(size + 4 for _, size, _ in lines)


def _write(draw: ImageDraw.ImageDraw, text: str, x: float, y: float, anchor: str) -> None:
    for line, size, colour in _lines(text):
        draw.text((round(x), round(y)), line, fill=colour, font=font(size), anchor=anchor)
        y += size + 4


def titled(picture: Image.Image, text: str, height: int = 24) -> Image.Image:
    """The picture with small words below it, `height` pixels a line, as GIF frames carry their step; white is added on the right where they are wider."""
    lines = text.split("\n")
    width = max(picture.width, *(round(font(12).getlength(line)) + 8 for line in lines))
    canvas = Image.new("L" if picture.mode == "L" else "RGB", (width, picture.height + height * len(lines)), "white")
    canvas.paste(picture, (0, 0))
    ink, draw = FAINT[0] if picture.mode == "L" else FAINT, ImageDraw.Draw(canvas)
    for i, line in enumerate(lines):
        draw.text((width // 2, picture.height + height * i + height // 2 - 1), line, fill=ink, font=font(12), anchor="mm")
    return canvas


def joined(*parts: Image.Image, gap: int = 8, down: bool = False) -> Image.Image:
    """Pictures side by side, centred in height; or one above the other (`down`), centred in width."""
    if down:
        turn = Image.Transpose.TRANSPOSE
        return joined(*(part.transpose(turn) for part in parts), gap=gap).transpose(turn)
    height = max(part.height for part in parts)
    mode = "L" if all(part.mode == "L" for part in parts) else "RGB"
    canvas = Image.new(mode, (sum(part.width for part in parts) + gap * (len(parts) - 1), height), "white")
    left = 0
    for part in parts:
        canvas.paste(part, (left, (height - part.height) // 2))
        left += part.width + gap
    return canvas
