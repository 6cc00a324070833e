"""Coarse pictures, for super-resolution."""

import torch.nn.functional as F
from torch import Tensor

from ...draws import Draws
from ...errors import Usage, nearest

RESAMPLE = {"nearest": "nearest-exact", "bicubic": "bicubic"}


def low_resolution(x: Tensor, draws: Draws | None = None, factor: int = 4, up: str = "nearest") -> Tensor:
    """Means of squares of about `factor` pixels a side, brought back to size by up (nearest, or bicubic for pictures); (B, C, *S) in [-1, 1] -> the same shape."""
    if not isinstance(factor, int) or factor < 2:
        raise Usage(f"low_resolution: factor is a whole number from 2, not {factor!r}")
    if up not in RESAMPLE:
        raise Usage(f"low_resolution: no up {up!r}{nearest(up, RESAMPLE)}")
    if up == "bicubic" and x.ndim != 4:
        raise Usage(f"low_resolution: bicubic is for pictures, not for examples of shape {tuple(x.shape[1:])}; use up: nearest")
    small = F.interpolate(x, [-(-size // factor) for size in x.shape[2:]], mode="area")
    return F.interpolate(small, x.shape[2:], mode=RESAMPLE[up]).clamp(-1, 1)
