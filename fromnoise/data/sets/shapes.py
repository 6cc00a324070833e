"""Drawn shapes with labels and captions: a text-to-image set that needs no file."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageDraw

from ...draws import mixed
from ...errors import Usage
from ..dataset import Tensors, check_split

COLOURS = {
    "red": (220, 40, 40), "green": (40, 160, 60), "blue": (50, 80, 220), "yellow": (240, 210, 50),
    "purple": (140, 60, 180), "orange": (245, 140, 40), "white": (250, 250, 250), "pink": (245, 140, 190),
}  # fmt: skip
SIZES = {"small": 0.17, "medium": 0.27, "large": 0.38}  # radius as a share of the picture's side
GROUND = (24, 26, 34)
FINER = 4  # drawn this many times larger, then reduced: smooth edges


def _ring(corners: int, turn: float, inner: float = 0.0) -> list[tuple[float, float]]:
    """The corners of a regular polygon on the unit circle; with `inner`, of a star whose notches lie on that radius."""
    n = corners * 2 if inner else corners
    radii = [inner if inner and i % 2 else 1.0 for i in range(n)]
    return [(r * math.sin(turn + 2 * math.pi * i / n), -r * math.cos(turn + 2 * math.pi * i / n)) for i, r in enumerate(radii)]


CROSS = ((-1, -3), (1, -3), (1, -1), (3, -1), (3, 1), (1, 1), (1, 3), (-1, 3), (-1, 1), (-3, 1), (-3, -1), (-1, -1))
OUTLINES = {
    "circle": _ring(96, 0),
    "square": _ring(4, math.pi / 4),
    "triangle": _ring(3, 0),
    "star": _ring(5, 0, 0.42),
    "cross": [(x / math.sqrt(10), y / math.sqrt(10)) for x, y in CROSS],
}


def shapes(size: int = 32, count: int = 8192, seed: int = 0, split: str = "train", depth: bool = False) -> Tensors:
    """Drawn shapes (circle, square, triangle, star, cross) in colour, with label and a caption such as "a large red circle".

    depth  gives each an image as well, its depth map (1, size, size): nearness, 1 over distance, of shapes that are all equally large, so that
           what looks larger is nearer; the ground is infinitely far
    """
    check_split(split)
    if size < 8 or count < 1:
        raise Usage(f"shapes need size >= 8 and count >= 1, not size={size}, count={count}")
    draw = np.random.Generator(np.random.PCG64(mixed("shapes", seed, split)))
    names, colours, sizes = list(OUTLINES), list(COLOURS), list(SIZES)
    label = draw.integers(len(names), size=count)
    colour, large = draw.integers(len(colours), size=count), draw.integers(len(sizes), size=count)
    where, turn = draw.random((count, 2)), draw.normal(0, 0.12, count)

    def picture(i: int) -> tuple[np.ndarray, np.ndarray]:
        placed = (size, names[label[i]], sizes[large[i]], where[i], turn[i])
        near = round(255 * SIZES[sizes[large[i]]] / max(SIZES.values()))
        image = _picture(*placed, (near,) * 3, (0, 0, 0))[..., :1] if depth else np.empty(0)
        return _picture(*placed, COLOURS[colours[colour[i]]], GROUND), image

    with ThreadPoolExecutor() as pool:
        drawn = list(pool.map(picture, range(count)))
    x, image = (
        np.ascontiguousarray(np.stack(part).transpose(0, 3, 1, 2)) if part[0].ndim == 3 else None for part in zip(*drawn, strict=True)
    )
    text = [f"a {sizes[s]} {colours[c]} {names[n]}" for s, c, n in zip(large, colour, label, strict=True)]
    return Tensors("shapes", x, label, text, names, image)


def _picture(
    size: int, name: str, large: str, where: np.ndarray, turn: float, colour: tuple[int, ...], ground: tuple[int, ...]
) -> np.ndarray:
    """One shape (size, size, 3), wholly inside the picture; `where` in [0, 1]² is its place, `turn` a slight rotation in radians."""
    side, radius = size * FINER, SIZES[large] * size * FINER
    cx, cy = radius + where * (side - 2 * radius)
    cos, sin = math.cos(turn), math.sin(turn)
    corners = [(cx + radius * (x * cos - y * sin), cy + radius * (x * sin + y * cos)) for x, y in OUTLINES[name]]
    canvas = Image.new("RGB", (side, side), ground)
    ImageDraw.Draw(canvas).polygon(corners, fill=colour)
    return np.asarray(canvas.reduce(FINER))
