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

STYLE = """
:root { --paper:#fff; --card:#f6f8fa; --ink:#1f2328; --soft:#656d76; --line:#d8dee4; --accent:#1f62a8; LIGHT }
@media (prefers-color-scheme: dark) {
  :root { --paper:#0f1318; --card:#171d24; --ink:#e3e8ee; --soft:#97a1ac; --line:#2b333d; --accent:#79b0ea; DARK }
}
* { box-sizing:border-box }
html { color-scheme:light dark; -webkit-text-size-adjust:100% }
body { margin:0; background:var(--paper); color:var(--ink); font:16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
main { max-width:1060px; margin:0 auto; padding:40px 24px 72px }
h1 { font-size:34px; line-height:1.15; letter-spacing:-.02em; margin:0 0 6px; overflow-wrap:anywhere }
h2 { font-size:20px; letter-spacing:-.01em; margin:52px 0 16px; padding-top:22px; border-top:1px solid var(--line) }
p { margin:0 0 12px; max-width:72ch }
.soft, figcaption, .missing { color:var(--soft); font-size:14px }
.missing { font-style:italic }
.state { display:inline-block; padding:1px 11px; border-radius:99px; background:var(--card); border:1px solid var(--line); font-size:13px;
  color:var(--soft); vertical-align:6px; margin-left:10px; letter-spacing:0; font-weight:400 }
.tiles { display:grid; grid-template-columns:repeat(auto-fit, minmax(140px, 1fr)); gap:1px; border-radius:10px;
  background:var(--card); border:1px solid var(--line); overflow:hidden; margin:24px 0 12px }
.tiles div { box-shadow:0 0 0 1px var(--line); padding:13px 16px }
.tiles b { display:block; font-size:22px; font-weight:600; letter-spacing:-.01em; font-variant-numeric:tabular-nums; white-space:nowrap }
.tiles span { color:var(--soft); font-size:13px }
.row { display:grid; grid-template-columns:repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap:24px 32px; align-items:start }
.row.small { grid-template-columns:repeat(auto-fit, minmax(min(46%, 240px), 1fr)); gap:18px }
figure { margin:0; min-width:0 }
figure img { display:block; max-width:100%; height:auto; border-radius:6px; background:#fff }
.small img { width:100% }
figure svg { display:block; width:100%; height:auto; color:var(--ink) }
figcaption { margin-top:8px }
table { border-collapse:collapse; width:100%; font-size:15px; font-variant-numeric:tabular-nums }
th { text-align:left; font-weight:500; color:var(--soft); font-size:13px }
th, td { padding:7px 18px 7px 0; border-bottom:1px solid var(--line); vertical-align:top; overflow-wrap:anywhere }
th.n, td.n { text-align:right; white-space:nowrap; width:1%; padding-right:36px }
.facts th { width:9em; font-size:14px }
code { font:.92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-style:normal }
.scroll { overflow-x:auto }
pre { margin:0; padding:16px 18px; background:var(--card); border:1px solid var(--line); border-radius:10px; overflow-x:auto;
  white-space:pre-wrap; overflow-wrap:anywhere; font:13px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
footer { margin-top:56px; color:var(--soft); font-size:13px }
@media (max-width:600px) { main { padding:24px 16px 48px } h1 { font-size:27px } h2 { margin-top:38px } .tiles b { font-size:19px } }
@media print { main { max-width:none } figure, tr { break-inside:avoid } }
"""
DARK = ("#6ea8e6", "#f0934e", "#4cc394", "#c48ad6", "#dcb44a", "#ee7186", "#76c3da", "#a4b1bb")


def page(title: str, body: Sequence[str]) -> str:
    """A whole HTML page; `body` is HTML already."""
    light, dark = (" ".join(f"--c{i}:{colour};" for i, colour in enumerate(colours)) for colours in (COLOURS, DARK))
    style = STYLE.replace("LIGHT", light).replace("DARK", dark)
    head = f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n<style>{style}</style>'
    parts = "\n".join(body)
    start = f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{head}\n</head>'
    return f"{start}\n<body>\n<main>\n{parts}\n</main>\n</body>\n</html>\n"


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


def plot(svg: str, what: str) -> str:
    """An SVG of our own as a figure."""
    return f'<figure role="img" aria-label="{escape(what)}">{svg}</figure>'


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
