"""Drawn shapes with labels and captions: a text-to-image set that needs no file."""

import math
from collections.abc import Iterable
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
Polygon, Colour = list[tuple[float, float]], tuple[int, ...]
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

    def picture(i: int, near: bool) -> np.ndarray:
        """Shape i, wholly inside the picture, or how near it is."""
        share = SIZES[sizes[large[i]]]
        radius = share * size * FINER
        corners = outline(names[label[i]], radius, *(radius + where[i] * (size * FINER - 2 * radius)), turn[i])
        if near:
            return drawn(size, [(corners, (round(255 * share / max(SIZES.values())),) * 3)], (0, 0, 0))[..., :1]
        return drawn(size, [(corners, COLOURS[colours[colour[i]]])])

    with ThreadPoolExecutor() as pool:
        x = stacked(pool.map(picture, range(count), [False] * count))
        image = stacked(pool.map(picture, range(count), [True] * count)) if depth else None
    text = [f"a {sizes[s]} {colours[c]} {names[n]}" for s, c, n in zip(large, colour, label, strict=True)]
    return Tensors("shapes", x, label, text, names, image)


def stacked(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Pictures (H, W, C) as one array (N, C, H, W)."""
    return np.ascontiguousarray(np.stack(list(pictures)).transpose(0, 3, 1, 2))


def outline(name: str, radius: float, cx: float, cy: float, turn: float = 0.0) -> list[tuple[float, float]]:
    """The corners of a shape around (cx, cy), turned by `turn` radians."""
    cos, sin = math.cos(turn), math.sin(turn)
    return [(cx + radius * (x * cos - y * sin), cy + radius * (x * sin + y * cos)) for x, y in OUTLINES[name]]


def drawn(size: int, polygons: Iterable[tuple[Polygon, Colour]], ground: Colour = GROUND) -> np.ndarray:
    """Coloured polygons, their corners in a picture FINER times as large, as (size, size, 3) bytes."""
    canvas = Image.new("RGB", (size * FINER, size * FINER), ground)
    for corners, colour in polygons:
        ImageDraw.Draw(canvas).polygon(corners, fill=colour)
    return np.asarray(canvas.reduce(FINER))
