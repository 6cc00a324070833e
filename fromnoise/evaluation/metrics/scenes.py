"""What a picture of drawn shapes shows, read by classical means, and how far that is what its caption says."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ...conditions.hints.filters import dilated
from ...data.sets.shapes import COLOURS, FINER, GROUND, NAMES, PAINTS, RADII, RELATIONS, SIDES, Scene, Thing, outline, read_caption

SPECK = 5  # pixels: smaller ones are noise
APART = 55.0  # from the ground's colour, of 0 to 255, from which a pixel belongs to a thing
READ = {"size": attrgetter("size"), "colour": attrgetter("colour"), "shape": attrgetter("name")}  # of a Thing
ATTRIBUTES = ("count", *READ, "relation")


@dataclass(frozen=True)
class Seen:
    """A thing that was found, and its centre in pixels."""

    thing: Thing
    x: float
    y: float


def seen(picture: np.ndarray) -> list[Seen]:
    """The things in a picture (H, W, 3) of 0 to 255: regions that stand out from the ground, each as the shape, size and colour that fit it best."""
    pixels = picture.astype(np.float64)
    ground = np.array(GROUND, np.float64)
    parts = _regions(np.linalg.norm(pixels - ground, axis=2) > APART)
    return [_best(pixels, ground, part) for part in parts if part.sum() >= SPECK]


def _regions(mask: np.ndarray) -> list[np.ndarray]:
    """The connected regions (eight neighbours) of a mask (H, W), each as a mask."""
    left, found = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}, []
    while left:
        edge, region = [left.pop()], []
        while edge:
            y, x = edge.pop()
            region.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        part = np.zeros_like(mask)
        part[tuple(np.array(region).T)] = True
        found.append(part)
    return found


def _best(pixels: np.ndarray, ground: np.ndarray, part: np.ndarray) -> Seen:
    """The thing whose drawing is nearest to a region, where it lies."""
    inside = pixels[part]
    strong = np.linalg.norm(inside - ground, axis=1)
    core = np.median(inside[strong >= np.median(strong)], axis=0)
    paint = min(PAINTS, key=lambda name: float(np.linalg.norm(core - np.array(COLOURS[name]))))
    way = np.array(COLOURS[paint]) - ground
    near = dilated(torch.from_numpy(part)[None, None])[0, 0].numpy()
    cover = np.clip((pixels - ground) @ way / (way @ way), 0, 1) * near  # how much of each pixel the thing covers
    ys, xs = np.mgrid[: cover.shape[0], : cover.shape[1]] + 0.5
    x, y = float((xs * cover).sum() / cover.sum()), float((ys * cover).sum() / cover.sum())

    def misfit(kind: tuple[str, str]) -> float:
        drawn = _drawn(Thing(kind[0], paint, kind[1]), x, y, cover.shape[0])
        return float(np.square(cover - drawn).sum() / drawn.sum())

    size, name = min(itertools.product(RADII, NAMES), key=misfit)
    return Seen(Thing(size, paint, name), x, y)


def _drawn(thing: Thing, x: float, y: float, size: int) -> np.ndarray:
    """How much of each pixel (size, size) the thing covers when its centre of mass is at (x, y)."""
    side = size * FINER
    corners = np.array(outline(thing, 0.0, 0.0, side))
    turned = np.roll(corners, -1, 0)
    cross = corners[:, 0] * turned[:, 1] - turned[:, 0] * corners[:, 1]
    centre = ((corners + turned) * cross[:, None]).sum(0) / (3 * cross.sum())  # of a polygon's area
    canvas = Image.new("L", (side, side))
    ImageDraw.Draw(canvas).polygon([tuple(corner) for corner in corners - centre + np.array([x, y]) * FINER], fill=255)
    return np.asarray(canvas.reduce(FINER)) / 255


@dataclass
class Tally:
    """How many pictures obey their captions, in all and by attribute, and what was drawn where something else was wanted."""

    n: int = 0
    whole: int = 0
    right: Counter = field(default_factory=Counter)  # by attribute
    checked: Counter = field(default_factory=Counter)
    confused: dict[str, Counter] = field(default_factory=lambda: {name: Counter() for name in ATTRIBUTES})  # (wanted, drawn)

    def add(self, picture: np.ndarray, caption: str) -> bool:
        """Takes in a picture (H, W, 3) of 0 to 255; whether all of its caption is obeyed."""
        scene, found = read_caption(caption), seen(picture)
        checks: dict[str, list[tuple[Any, Any]]] = {"count": [(len(scene.things), len(found))]}
        if len(found) == len(scene.things):
            middle = picture.shape[0] / 2
            found = max(itertools.permutations(found), key=lambda order: _agreement(scene, order, middle))
            pairs = [(thing, was.thing) for thing, was in zip(scene.things, found, strict=True)]
            for name, read in READ.items():
                checks[name] = [(read(wanted), read(got)) for wanted, got in pairs]
            if scene.relation:
                farthest = max(RELATIONS if len(found) > 1 else SIDES, key=lambda name: _along(found, name, middle))
                checks["relation"] = [(scene.relation, scene.relation if _lies(found, scene.relation, middle) else farthest)]
        for name, pairs in checks.items():
            self.checked[name] += len(pairs)
            self.right[name] += sum(wanted == got for wanted, got in pairs)
            self.confused[name].update(pairs)
        obeyed = all(wanted == got for pairs in checks.values() for wanted, got in pairs)
        self.n, self.whole = self.n + 1, self.whole + obeyed
        return obeyed

    @property
    def share(self) -> float:
        """Of the pictures that obey everything."""
        return self.whole / max(1, self.n)

    def of(self, attribute: str) -> float:
        """The share of an attribute that is right; the others are only looked at where the count is."""
        return self.right[attribute] / max(1, self.checked[attribute])

    def mistakes(self) -> list[str]:
        """A line for each attribute that was not always right: what was drawn where something else was wanted."""
        lines = []
        for name, table in self.confused.items():
            wrong = [f"{wanted} as {got} ({times})" for (wanted, got), times in table.most_common() if wanted != got]
            lines += [f"{name}, {self.checked[name]:,} looked at: {', '.join(wrong)}"] if wrong else []
        return lines


def _agreement(scene: Scene, order: Sequence[Seen], middle: float) -> tuple[int, bool]:
    """How many attributes agree, and whether the relation does, when the things found are taken in this order."""
    pairs = zip(scene.things, order, strict=True)
    same = sum(read(thing) == read(was.thing) for thing, was in pairs for read in READ.values())
    return same, bool(scene.relation) and _lies(order, scene.relation, middle)


def _along(order: Sequence[Seen], relation: str, middle: float) -> float:
    """How many pixels the first lies in this direction from the second, or a thing alone from the middle of the picture."""
    dx, dy = (RELATIONS | SIDES)[relation]
    first, *second = order
    x, y = (second[0].x, second[0].y) if second else (middle, middle)
    return dx * (first.x - x) + dy * (first.y - y)


def _lies(order: Sequence[Seen], relation: str, middle: float) -> bool:
    """Whether the things lie as the relation says, and clearly so."""
    return _along(order, relation, middle) > 2.0


def tallied(samples: Tensor, captions: Sequence[str]) -> Tally:
    """Of samples (n, 3, H, W) in [-1, 1] to captions of `shapes_text`; raises Usage where a caption is none of these."""
    tally = Tally()
    for sample, caption in zip(samples.clamp(-1, 1).add(1).mul(127.5).permute(0, 2, 3, 1).cpu().numpy(), captions, strict=True):
        tally.add(sample, caption)
    return tally


# Datasets whose captions can be checked exactly, and by what.
JUDGES: dict[str, Callable[[Tensor, Sequence[str]], Tally]] = {"shapes_text": tallied}
