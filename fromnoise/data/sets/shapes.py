"""Drawn pictures with captions, which need no file: single shapes, and scenes of one thing and perhaps its side, or two and how they lie.

Scenes are there to learn words by and to measure what is obeyed.
"""

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ...config import SEED
from ...device import check_memory
from ...draws import mixed
from ...errors import Usage
from ..dataset import Tensors, check_split
from .sized import Count, Side

COLOURS = {
    "red": (220, 40, 40), "green": (40, 160, 60), "blue": (50, 80, 220), "yellow": (240, 210, 50),
    "purple": (140, 60, 180), "orange": (245, 140, 40), "white": (250, 250, 250), "pink": (245, 140, 190),
}  # fmt: skip
SIZES = {"small": 0.17, "medium": 0.27, "large": 0.38}  # radius as a share of the picture's side
GROUND = (24, 26, 34)
Polygon, Colour = list[tuple[float, float]], tuple[int, ...]
FINER = 4  # drawn this many times larger, then reduced: smooth edges
NAMES = ("circle", "square", "triangle", "cross")
PAINTS = ("red", "green", "blue", "yellow", "purple", "white")
RADII = {"small": 0.115, "large": 0.2}  # shares of the picture's side
RELATIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}  # the way from the second to the first
SIDES = {"on the left": (-1, 0), "on the right": (1, 0), "at the top": (0, -1), "at the bottom": (0, 1)}  # from the middle to a thing alone
OTHER_WAY = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
HELD_OUT = 0.1  # of all scenes, by what they show


def _ring(corners: int, turn: float, inner: float = 0.0) -> list[tuple[float, float]]:
    """The corners of a regular polygon on the unit circle; with `inner`, of a star whose notches lie on that radius."""
    n = corners * 2 if inner else corners
    radii = [inner if inner and i % 2 else 1.0 for i in range(n)]
    return [(r * math.sin(turn + 2 * math.pi * i / n), -r * math.cos(turn + 2 * math.pi * i / n)) for i, r in enumerate(radii)]


CROSS = ((-1, -3), (1, -3), (1, -1), (3, -1), (3, 1), (1, 1), (1, 3), (-1, 3), (-1, 1), (-3, 1), (-3, -1), (-1, -1))
OUTLINES = {
    "circle": _ring(96, 0), "square": _ring(4, math.pi / 4), "triangle": _ring(3, 0), "star": _ring(5, 0, 0.42),
    "cross": [(x / math.sqrt(10), y / math.sqrt(10)) for x, y in CROSS],
}  # fmt: skip


def shapes(size: Side = 32, count: Count = 8192, seed: SEED = 0, split: str = "train", depth: bool = False) -> Tensors:
    """Drawn shapes (circle, square, triangle, star, cross) in colour, with label and a caption such as "a large red circle".

    depth  gives each an image as well, its depth map (1, size, size): nearness, 1 over distance, of shapes that are all equally large, so that
           what looks larger is nearer; the ground is infinitely far
    """
    check_split(split)
    if size < 8 or count < 1:
        raise Usage(f"shapes need size >= 8 and count >= 1, not size={size}, count={count}")
    check_memory(f"a set of {count:,} pictures", 6 * size * size * count)
    draw = np.random.Generator(np.random.PCG64(mixed("shapes", seed, split)))
    names, colours, sizes = list(OUTLINES), list(COLOURS), list(SIZES)
    label = draw.integers(len(names), size=count)
    colour, large = draw.integers(len(colours), size=count), draw.integers(len(sizes), size=count)
    where, turn = draw.random((count, 2)), draw.normal(0, 0.12, count)

    def picture(i: int, near: bool) -> np.ndarray:
        """Shape i, wholly inside the picture, or how near it is."""
        share = SIZES[sizes[large[i]]]
        radius = share * size * FINER
        polygon = corners(names[label[i]], radius, *(radius + where[i] * (size * FINER - 2 * radius)), turn[i])
        if near:
            return drawn(size, [(polygon, (round(255 * share / max(SIZES.values())),) * 3)], (0, 0, 0))[..., :1]
        return drawn(size, [(polygon, COLOURS[colours[colour[i]]])])

    with ThreadPoolExecutor() as pool:
        x = stacked(pool.map(picture, range(count), [False] * count))
        image = stacked(pool.map(picture, range(count), [True] * count)) if depth else None
    text = [f"a {sizes[s]} {colours[c]} {names[n]}" for s, c, n in zip(large, colour, label, strict=True)]
    return Tensors("shapes", x, label, text, names, image)


def stacked(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Pictures (H, W, C) as one array (N, C, H, W)."""
    return np.ascontiguousarray(np.stack(list(pictures)).transpose(0, 3, 1, 2))


def corners(name: str, radius: float, cx: float, cy: float, turn: float = 0.0) -> list[tuple[float, float]]:
    """The corners of a shape around (cx, cy), turned by `turn` radians."""
    cos, sin = math.cos(turn), math.sin(turn)
    return [(cx + radius * (x * cos - y * sin), cy + radius * (x * sin + y * cos)) for x, y in OUTLINES[name]]


def drawn(size: int, polygons: Iterable[tuple[Polygon, Colour]], ground: Colour = GROUND) -> np.ndarray:
    """Coloured polygons, their corners in a picture FINER times as large, as (size, size, 3) bytes."""
    canvas = Image.new("RGB", (size * FINER, size * FINER), ground)
    for polygon, colour in polygons:
        ImageDraw.Draw(canvas).polygon(polygon, fill=colour)
    return np.asarray(canvas.reduce(FINER))


@dataclass(frozen=True, order=True)
class Thing:
    """A shape in a scene."""

    size: str
    colour: str
    name: str

    def __str__(self) -> str:
        return f"a {self.size} {self.colour} {self.name}"


@dataclass(frozen=True)
class Scene:
    """One thing and perhaps the side that it is on, or two and the relation of the first to the second."""

    things: tuple[Thing, ...]
    relation: str = ""

    def __str__(self) -> str:
        first, *rest = self.things
        return " ".join(str(part) for part in (first, self.relation, *rest) if part)

    @property
    def held_out(self) -> bool:
        """Whether it is of the test split: decided by what is seen, so that saying it the other way round is no way around."""
        if len(self.things) == 1:
            return False
        first, second = self.things
        shown = (self.relation, first, second) if first < second else (OTHER_WAY[self.relation], second, first)
        return mixed("scene", *map(str, shown)) % 1000 < 1000 * HELD_OUT


def read_caption(text: str) -> Scene:
    """The scene that a caption of `shapes_text` describes; raises Usage for any other."""
    one = rf"a ({'|'.join(RADII)}) ({'|'.join(PAINTS)}) ({'|'.join(NAMES)})"
    found = re.fullmatch(rf"{one}(?: ({'|'.join(SIDES)})| ({'|'.join(RELATIONS)}) {one})?", text)
    if not found:
        raise Usage(f'{text!r} is no caption of these scenes, such as "a large red circle left of a small blue square"')
    *first, side, relation = found.groups()[:5]
    things = (Thing(*first),) if relation is None else (Thing(*first), Thing(*found.groups()[5:]))
    return Scene(things, side or relation or "")


def shapes_text(size: Side = 32, count: Count = 20_000, seed: SEED = 0, split: str = "train") -> Tensors:
    """Drawn scenes with captions such as "a large red circle left of a small blue square"; a tenth of all scenes is never trained on."""
    check_split(split)
    if size < 24 or count < 1:
        raise Usage(f"shapes_text needs size >= 24 and count >= 1, not size={size}, count={count}")
    check_memory(f"a set of {count:,} pictures", 6 * size * size * count)
    draw = np.random.Generator(np.random.PCG64(mixed("shapes_text", seed, split)))
    scenes = list(itertools.islice((scene for scene in _scenes(draw) if scene.held_out == (split == "test")), count))
    places, turns = [_places(scene, draw) for scene in scenes], draw.normal(0, 0.08, (count, 2))
    with ThreadPoolExecutor() as pool:
        x = stacked(pool.map(lambda i: picture(size, scenes[i].things, places[i], turns[i]), range(count)))
    return Tensors("shapes_text", x, text=[str(scene) for scene in scenes])


def _scenes(draw: np.random.Generator):
    """Scenes without end: one in three shows a single thing, four of five of these on a side."""
    words, sides = (tuple(RADII), PAINTS, NAMES), [*SIDES, ""]
    sizes = [len(part) for part in (*words, *words, RELATIONS)]
    while True:
        for *chosen, relation, kind in np.c_[draw.integers(sizes, size=(4096, 7)), draw.integers(15, size=4096)].tolist():
            first, second = (Thing(*(part[i] for part, i in zip(words, three, strict=True))) for three in (chosen[:3], chosen[3:]))
            yield Scene((first,), sides[kind]) if kind < len(sides) else Scene((first, second), tuple(RELATIONS)[relation])


def _places(scene: Scene, draw: np.random.Generator) -> list[tuple[float, float]]:
    """Centres (x, y) in [0, 1], anywhere that is on the right side, leaves a gap in the direction of the relation and keeps everything inside."""
    radii, edge = [RADII[thing.size] for thing in scene.things], 0.01
    if len(radii) == 1:
        free = 0.5 - radii[0] - edge  # to each side of the middle
        where = 0.5 + free * draw.uniform(-1, 1, 2)
        for axis, way in enumerate(SIDES.get(scene.relation, ())):
            if way:
                where[axis] = 0.5 + way * free * draw.uniform(0.4, 1)
        return [(float(where[0]), float(where[1]))]
    (dx, dy), gap = RELATIONS[scene.relation], 0.07
    free = 1 - 2 * sum(radii) - gap - 2 * edge  # along the relation, shared out at random before, between and after
    cuts = np.sort(draw.random(2)) * free
    before, after = edge + cuts[0], gap + cuts[1] - cuts[0]
    along = [before + radii[0], before + 2 * radii[0] + after + radii[1]]  # of the nearer and the farther one
    if dx + dy > 0:  # the first lies behind the second
        along = [before + 2 * radii[1] + after + radii[0], before + radii[1]]
    limits = [(r + edge, 1 - r - edge) for r in radii]
    middle = draw.random()
    across = [low + (high - low) * float(np.clip(middle + draw.normal(0, 0.15), 0, 1)) for low, high in limits]
    return [(a, b) if dx else (b, a) for a, b in zip(along, across, strict=True)]


def picture(size: int, things: Sequence[Thing], places: Sequence[tuple[float, float]], turns: Sequence[float]) -> np.ndarray:
    """The things at their places, (size, size, 3) bytes; `turns` are slight rotations in radians."""
    side, placed = size * FINER, zip(things, places, turns, strict=False)
    return drawn(size, [(outline(thing, x * side, y * side, side, turn), COLOURS[thing.colour]) for thing, (x, y), turn in placed])


def outline(thing: Thing, cx: float, cy: float, side: float, turn: float = 0.0) -> list[tuple[float, float]]:
    """The corners of a thing around (cx, cy) in a picture with this side."""
    return corners(thing.name, RADII[thing.size] * side, cx, cy, turn)
