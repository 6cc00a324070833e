"""Pictures made of pictures, to condition on: what is left of x when something of it is taken away."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...draws import Draws
from ...errors import Usage, nearest
from .sketch import edges, grey, lines, palette, segments

Hint = Callable[[Tensor, Draws | None], Tensor]  # (B, C, *S) in [-1, 1], where chance comes from -> (B, C', *S) in [-1, 1]

RESAMPLE = {"nearest": "nearest-exact", "bicubic": "bicubic"}
BOX = (0.25, 0.75)  # a box's sides, as shares of the picture's, from and to
STROKES, BRUSH = 4, (0.04, 0.1)  # straight strokes of a path, and the brush's radius


def low_resolution(x: Tensor, draws: Draws | None = None, factor: int = 4, up: str = "nearest") -> Tensor:
    """The means of squares of `factor` pixels a side, brought back to size, for super-resolution; (B, C, *S) in [-1, 1] -> the same shape.

    up: nearest, or bicubic (pictures alone). Where factor does not divide a size, the squares are as even as they can be.
    """
    if not isinstance(factor, int) or factor < 2:
        raise Usage(f"low_resolution: factor is a whole number from 2, not {factor!r}")
    if up not in RESAMPLE:
        raise Usage(f"low_resolution: no up {up!r}{nearest(up, RESAMPLE)}")
    if up == "bicubic" and x.ndim != 4:
        raise Usage(f"low_resolution: bicubic is for pictures, not for examples of shape {tuple(x.shape[1:])}; use up: nearest")
    small = F.interpolate(x, [-(-size // factor) for size in x.shape[2:]], mode="area")
    return F.interpolate(small, x.shape[2:], mode=RESAMPLE[up]).clamp(-1, 1)


def masked(x: Tensor, draws: Draws | None = None) -> Tensor:
    """The picture with a random hole, for inpainting; (B, C, *S) in [-1, 1] -> (B, C + 1, *S), see `holed`. Each hole is a box or strokes of a brush."""
    return holed(x, holes(len(x), x.shape[2:], draws).to(x.device, non_blocking=True))


def holed(x: Tensor, hole: Tensor) -> Tensor:
    """x (B, C, *S) with zeros where hole (B or 1, 1, *S) is true, and after its channels one of ones where it is not: a whole hole is all zeros."""
    known = (~hole).to(x).expand(len(x), -1, *x.shape[2:])
    return torch.cat([x * known, known], 1)


def holes(n: int, size: tuple[int, ...], draws: Draws | None = None) -> Tensor:
    """n random holes (n, 1, *size): a box of a quarter to three quarters of each side, or a path of straight strokes through random points.

    As in Saharia et al. 2022 (Palette, sec. 4.2: boxes and free-form masks), on any number of axes; lengths are shares of the picture's sides.
    """
    axes = len(size)
    count = 2 * axes + (STROKES + 1) * axes + 2
    chance = torch.rand(n, count) if draws is None else draws.rand(count)
    side, corner, points, (kind, thick) = (
        chance[:, :axes], chance[:, axes : 2 * axes], chance[:, 2 * axes : -2].unflatten(1, (STROKES + 1, axes)), chance[:, -2:].T
    )  # fmt: skip
    side = BOX[0] + (BOX[1] - BOX[0]) * side
    corner = corner * (1 - side)

    def along(values: Tensor) -> Tensor:  # (n,) -> (n, 1, …), beside the axes
        return values.reshape(n, *[1] * axes)

    at = [((torch.arange(size[a]) + 0.5) / size[a]).reshape(*[-1 if b == a else 1 for b in range(axes)]) for a in range(axes)]
    box, brush = torch.ones(n, *size, dtype=torch.bool), torch.zeros(n, *size, dtype=torch.bool)
    for a in range(axes):
        box &= (at[a] >= along(corner[:, a])) & (at[a] < along(corner[:, a] + side[:, a]))
    radius = along(BRUSH[0] + (BRUSH[1] - BRUSH[0]) * thick)
    for start, end in zip(points.unbind(1), points.unbind(1)[1:], strict=False):
        way = end - start
        share = sum((at[a] - along(start[:, a])) * along(way[:, a]) for a in range(axes)) / along(way.square().sum(1).clamp(min=1e-8))
        share = share.clamp(0, 1)  # of the stroke, where it is nearest to a pixel
        brush |= sum((at[a] - along(start[:, a]) - share * along(way[:, a])).square() for a in range(axes)) < radius.square()
    return torch.where(along(kind) < 0.5, box, brush)[:, None]


HINTS: dict[str, Hint] = {
    "grey": grey,
    "low_resolution": low_resolution,
    "masked": masked,
    "edges": edges,
    "lines": lines,
    "segments": segments,
    "palette": palette,
}

# What a hint says outright of the sample: (what is given (B, C, *S), 1 where it is (B, 1, *S)).
STATED: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {"masked": lambda value: (value[:, :-1], value[:, -1:])}


def hint_of(name: str, options: Mapping[str, Any] | None = None) -> Hint:
    """The hint of this name with its own options set. Raises Usage for an unknown name or option."""
    if name not in HINTS:
        raise Usage(f"no hint {name!r}{nearest(name, HINTS)}")
    known = list(inspect.signature(HINTS[name]).parameters)[2:]
    for key in options or {}:
        if key not in known:
            raise Usage(f"hint {name} has no option {key!r}" + (nearest(key, known) if known else "; it takes none"))
    return partial(HINTS[name], **(options or {}))
