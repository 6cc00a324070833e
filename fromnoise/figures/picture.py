"""Tensors as pictures: one decision of how a sample looks, and everything that is laid out from it."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..data.files.films import pyav
from ..data.files.scans import NIFTI, nibabel
from ..errors import Usage
from ..evaluation import psnr
from ..files import ending, replacing, vacant

EDGE = 64  # pixels: tiles smaller than this are enlarged, so that an 8 x 8 digit can be seen
PANEL = 144  # pixels: the edge of a scatter
SPAN = 2.8  # units of data that a scatter shows on either side of 0
FINE = 3  # panels are drawn so much larger and reduced, so that dots and lines are smooth
PAPER, GROUND, INK, FAINT = (255, 255, 255), (246, 248, 250), (36, 41, 47), (110, 119, 129)
DOT = (31, 98, 168)
NOTHING = "there is nothing to draw; make at least one sample (-n 1)"


def to_uint8(x: Tensor) -> np.ndarray:
    """Pictures (N, C, H, W) in [-1, 1] as uint8 (N, H, W, C), rounded to the nearest; what is outside is clipped, NaN is mid-grey."""

    def rounded(part: Tensor) -> np.ndarray:
        part = torch.nan_to_num(part.detach().float().cpu(), nan=0.0, posinf=1.0, neginf=-1.0)
        return ((part.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(1, -1).contiguous().numpy()

    return np.concatenate([rounded(part) for part in x.split(256)])  # in parts: thousands of large pictures as floats fill a memory


def pictures(x: Tensor) -> list[Image.Image]:
    """One picture in its own size and mode (L, LA, RGB or RGBA) for each of (N, C, H, W); beyond 4 channels the first three are drawn."""
    x = x if x.shape[1] <= 4 else x[:, :3]
    return [Image.fromarray(a[..., 0] if a.shape[-1] == 1 else a) for a in to_uint8(x)]


def enlarged(x: Tensor, scale: int) -> list[Image.Image]:
    """A tile of each picture (N, C, H, W), enlarged by the whole factor `scale`; 0: until EDGE pixels are reached."""
    scale = scale or max(1, round(EDGE / max(x.shape[-2:])))
    return [opaque(p).resize((p.width * scale, p.height * scale), Image.Resampling.NEAREST) for p in pictures(x)]


def scatter(x: Tensor, scale: int) -> list[Image.Image]:
    """One scatter of the first two coordinates of points (N, D)."""
    scale = scale or 1
    edge, radius = PANEL * scale * FINE, FINE * 1.3 * scale
    points = torch.nan_to_num(x.detach().float().cpu()[:, :2], nan=1e6)
    if points.shape[1] == 1:
        points = torch.cat([points, torch.zeros_like(points)], 1)
    across = ((points * torch.tensor([1.0, -1.0])) / SPAN + 1) / 2 * edge
    panel = Image.new("RGB", (edge, edge), GROUND)
    draw = ImageDraw.Draw(panel)
    for px, py in across[((across >= 0) & (across <= edge)).all(1)].tolist():
        draw.ellipse((px - radius, py - radius, px + radius, py + radius), fill=DOT)
    return [panel.reduce(FINE)]


def opaque(picture: Image.Image) -> Image.Image:
    """The picture without alpha: a pale checkerboard stands for what is transparent."""
    if picture.mode not in ("LA", "RGBA"):
        return picture
    width, height = picture.size
    cell = max(2, min(width, height) // 8)
    dark = (np.add.outer(np.arange(height) // cell, np.arange(width) // cell) % 2).astype(np.uint8)
    board = Image.fromarray(235 - 30 * dark).convert("RGBA")
    return Image.alpha_composite(board, picture.convert("RGBA")).convert("RGB")


def even(n: int, aspect: float = 1.0) -> int:
    """Columns in which n tiles, `aspect` times as high as wide, are about square and fill their last row, or nearly."""
    least = math.ceil(math.sqrt(n * aspect))
    return min(range(min(n, least), min(n, max(8, 2 * least)) + 1), key=lambda columns: -n % columns)


def evenly(total: int, count: int) -> list[int]:
    """At most `count` whole numbers from 0 to total - 1, evenly spread, both ends among them."""
    count = min(count, total)
    return [round(i * (total - 1) / (count - 1)) for i in range(count)] if count > 1 else [total - 1]


def sheet(tiles: Sequence[Image.Image], columns: int | None = None, pad: int = 2) -> Image.Image:
    """Tiles in rows from the left, `pad` white pixels around each; `even` unless `columns` is named."""
    if not tiles:
        raise Usage(NOTHING)
    width, height = max(t.width for t in tiles), max(t.height for t in tiles)
    columns = min(len(tiles), columns or even(len(tiles), height / width))
    rows = math.ceil(len(tiles) / columns)
    mode = "L" if all(t.mode == "L" for t in tiles) else "RGB"
    canvas = Image.new(mode, (columns * (width + pad) + pad, rows * (height + pad) + pad), "white")
    for i, tile in enumerate(tiles):
        canvas.paste(tile, (pad + i % columns * (width + pad), pad + i // columns * (height + pad)))
    return canvas


def decibels(x: Tensor, x_hat: Tensor) -> list[str]:
    """The PSNR of each reconstruction in dB."""
    return [f"{value:.1f} dB" for value in psnr(x, x_hat).tolist()]


def stem(i: int, labels: Any = None) -> str:
    """What the i-th sample's file is called, without its ending."""
    return f"{i:06d}" if labels is None else f"{i:06d}_{int(labels[i])}"


WRITERS: dict[str, Callable[[], Any]] = {  # what writes such a file, or says how to get it
    ".mp4": partial(pyav, "an mp4", "end --out in .webp, .apng or .gif"), **{end: partial(nibabel, cure="end --out in .npy or .npz") for end in NIFTI},
}  # fmt: skip


def check(path: Path, *others: str) -> None:
    """Raises Usage where nothing can be written under this ending, a picture's or one of `others`, and Problem where a folder ("") may not be put there."""
    if (end := ending(path)) == "" and "" in others:
        vacant(path)
    elif end in others:
        WRITERS.get(end, lambda: None)()
    elif Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        *first, last = dict.fromkeys([".png", ".webp", ".jpg", *filter(None, others)])
        raise Usage(f"cannot write {path.name}: {end!r} is no kind of picture; end it in {', '.join(first)} or {last}")


def write(picture: Image.Image, path: str | Path) -> Path:
    """Writes one picture wholly or not at all; alpha is flattened where the format lacks it. Raises Usage for an unknown suffix."""
    path = Path(path)
    check(path)
    flat = picture if path.suffix.lower() in (".png", ".webp", ".tif", ".tiff") else opaque(picture)
    with replacing(path) as temporary:
        flat.save(temporary)
    return path
