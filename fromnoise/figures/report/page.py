"""The parts of a page that needs nothing but itself: its style, pictures and tables as HTML."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from ..figure import COLOURS
from ..picture import opaque

WIDTH = 720  # pixels: pictures of a page are reduced to it where they would be heavy
STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
DARK = ("#6ea8e6", "#f0934e", "#4cc394", "#c48ad6", "#dcb44a", "#ee7186", "#76c3da", "#a4b1bb")


def page(title: str, body: Sequence[str]) -> str:
    """A whole HTML page; `body` is HTML already."""
    light, dark = (" ".join(f"--c{i}:{colour};" for i, colour in enumerate(colours)) for colours in (COLOURS, DARK))
    style = STYLE.replace("LIGHT", light).replace("DARK", dark)
    head = f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n<style>\n{style}</style>'
    start = f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{head}\n</head>\n<body>\n<main>\n'
    return start + "\n".join(body) + "\n</main>\n</body>\n</html>\n"


def section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def missing(why: str) -> str:
    """A faint line of words; what stands between backticks is code."""
    words = re.sub("`(.+?)`", r"<code>\1</code>", escape(why))
    return f'<p class="missing">{words}</p>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows of text; the columns in `right` are numbers."""
    kind = [' class="n"' if i in right else "" for i in range(len(head))]
    top = "".join(f"<th{k}>{escape(name)}</th>" for k, name in zip(kind, head, strict=True))
    cells = ("".join(f"<td{k}>{escape(str(cell))}</td>" for k, cell in zip(kind, row, strict=True)) for row in rows)
    lines = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def facts(found: Mapping[str, Any]) -> str:
    """Names and their values, where these are not None."""
    lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in found.items() if value is not None)
    return f'<div class="scroll"><table class="facts"><tbody>{lines}</tbody></table></div>'


def image(data: bytes, kind: str, size: tuple[int, int], caption: str) -> str:
    """A picture, of `size` pixels, as a figure."""
    (width, height), words, text = size, escape(caption), base64.b64encode(data).decode()
    shown = f'<img src="data:image/{kind};base64,{text}" width="{width}" height="{height}" alt="{words}">'
    return f"<figure>{shown}<figcaption>{words}</figcaption></figure>"


def picture(file: Path, caption: str, limit: int) -> str | None:
    """A picture file as a figure: as it is where it has at most `limit` bytes, else reduced, as JPEG; None where it cannot be read."""
    try:
        data = file.read_bytes()
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            kind, size = (opened.format or "png").lower(), opened.size
            if len(data) > limit:
                data, size = _reduced(opaque(opened), limit)
                kind = "jpeg"
    except (OSError, SyntaxError, ValueError):
        return None
    return image(data, kind, size, caption)


def _reduced(opened: Image.Image, limit: int) -> tuple[bytes, tuple[int, int]]:
    grey, width, quality = opened.mode in ("L", "1", "I;16"), min(WIDTH, opened.width), 88
    while True:
        small = opened.convert("L" if grey else "RGB")
        small.thumbnail((width, width * 4), Image.Resampling.LANCZOS)
        held = io.BytesIO()
        small.save(held, "JPEG", quality=quality, optimize=True)
        if held.tell() <= limit or width < 160:
            return held.getvalue(), small.size
        width, quality = int(width * 0.85), max(70, quality - 4)
