"""Between two noises: along the chord, along the great circle, through several, and over a square of four."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import Usage
from ..model import Model, Sampling

Blend = Callable[[Tensor, Tensor, float | Tensor], Tensor]
PARALLEL = 1e-6  # the sine of an angle below which the great circle is no different from the chord


def lerp(a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
    """(1 - t) a + t b, (n or 1, *S) each, t () or (n,). Halfway between two independent noises it has only 0.7 of their norm."""
    x, y, share = _exactly(a, b, t)
    return ((1 - share) * x + share * y).to(a)


def slerp(a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
    """(sin((1 - t) w) a + sin(t w) b) / sin w, w the angle between a and b (n or 1, *S), t () or (n,) (Shoemake 1985).

    The ends are exact, and the norm is kept where both have the same. Where a and b (nearly) lie on one line there is no one great circle: lerp.
    """
    x, y, share = _exactly(a, b, t)
    u, v = (z / z.flatten(1).norm(dim=1).clamp(min=1e-300).reshape(-1, *[1] * (a.ndim - 1)) for z in (x, y))
    over = tuple(range(1, a.ndim))
    angle = 2 * torch.atan2((u - v).square().sum(over, keepdim=True).sqrt(), (u + v).square().sum(over, keepdim=True).sqrt())
    sine = angle.sin()
    flat = sine < PARALLEL
    one, two = (torch.where(flat, part, (part * angle).sin() / sine.clamp(min=PARALLEL)) for part in (1 - share, share))
    return (one * x + two * y).to(a)


BLENDS: dict[str, Blend] = {"slerp": slerp, "lerp": lerp}


def path(points: Tensor, n: int, blend: Blend = slerp) -> Tensor:
    """n points (n, *S) evenly along the way through `points` (k, *S), k >= 2; the first and the last are exact, and those met between."""
    at = torch.arange(n, dtype=torch.float64) * (len(points) - 1) / (n - 1)
    piece = at.floor().long().clamp(max=len(points) - 2)
    return blend(points[piece], points[piece + 1], at - piece)


def corners(points: Tensor, n: int, blend: Blend = slerp) -> Tensor:
    """A square of n by n points (n * n, *S), row by row, between four (4, *S): top left, top right, bottom left, bottom right."""
    left, right = path(points[[0, 2]], n, blend), path(points[[1, 3]], n, blend)
    across = torch.arange(n, dtype=torch.float64) / (n - 1)
    return blend(left.repeat_interleave(n, 0), right.repeat_interleave(n, 0), across.repeat(n))


def between(
    model: Model, noises: Tensor, n: int, square: bool = False, blend: Blend = slerp, sampling: Sampling | None = None, **conditions: Any
) -> Tensor:
    """What the model draws between noises (k, rows, C, *S), each row apart: n samples on the way through all k, or n by n of a square of four.

    (n, rows, C, *S), or (n * n, rows, C, *S). A row keeps its conditions all the way. sampling: None is DDIM in 50 steps over the model's own;
    neighbours look alike where the sampler draws no noise of its own.
    """
    if n < 2:
        raise Usage(f"from one end to the other there are at least 2 samples, not {n}")
    if len(noises) < 2 or square and len(noises) != 4:
        raise Usage(f"{'a square has 4 corners' if square else 'what lies between needs at least 2 ends'}, not {len(noises)}")
    rows = noises.shape[1]
    points = torch.stack([(corners if square else path)(noises[:, row], n, blend) for row in range(rows)], 1)
    order = torch.arange(rows).repeat(len(points))
    filled = {
        key: value if value is None else value[order] if isinstance(value, Tensor) else [value[i] for i in order]
        for key, value in model.with_defaults(rows, conditions).items()
    }
    sampling = sampling or model.sampling.merged({"sampler": "ddim", "steps": 50, "options": {}})
    return model.sample(len(order), replace(sampling, start=points.flatten(0, 1)), **filled).unflatten(0, points.shape[:2])


def _exactly(a: Tensor, b: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both in double precision, which not every device has, and the share shaped to broadcast over them."""
    share = torch.as_tensor(t, dtype=torch.float64).cpu()
    return a.cpu().double(), b.cpu().double(), share.reshape(-1, *[1] * (a.ndim - 1))
