"""Where a token stands, on one, two or three axes."""

import math
from functools import lru_cache

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]  # cosines and sines


def _places(sizes: tuple[int, ...], device: torch.device) -> list[Tensor]:
    """The coordinates of every token along each axis, the last axis first (as MAE and DiT have it); each (L,)."""
    dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
    axes = torch.meshgrid(*(torch.arange(size, dtype=dtype, device=device) for size in sizes), indexing="ij")
    return [axis.flatten() for axis in reversed(axes)]


@lru_cache(64)
def sincos(sizes: tuple[int, ...], dim: int, device: torch.device) -> Tensor:
    """Sines and cosines of the coordinates, an equal share of `dim` for each axis; (L, dim), L the product of sizes.

    Vaswani et al. 2017, sec. 3.5, one axis after the other as in MAE and DiT (Peebles & Xie 2023). What the share leaves over is zero.
    """
    share = dim // len(sizes) // 2
    parts = []
    for place in _places(sizes, device):
        angle = place[:, None] * torch.exp(-math.log(10000) * torch.arange(share, dtype=place.dtype, device=device) / share)
        parts += [angle.sin(), angle.cos()]
    spare = parts[0].new_zeros(len(parts[0]), dim - 2 * share * len(sizes))
    return torch.cat([*parts, spare], 1).float()


@lru_cache(64)
def rotation(sizes: tuple[int, ...], head: int, before: int, device: torch.device) -> Rotation:
    """Cosines and sines by which rotary embeddings turn queries and keys of width `head`; each (before + L, head // 2).

    Su et al. 2021, eq. 15, the pairs shared out among the axes. `before` tokens without a place, and pairs left over, are not turned.
    """
    share = head // 2 // len(sizes)
    angles = []
    for place in _places(sizes, device):
        angles.append(place[:, None] * torch.exp(-math.log(10000) * torch.arange(share, dtype=place.dtype, device=device) / max(1, share)))
    angle = torch.cat(angles, 1)
    angle = torch.nn.functional.pad(angle, (0, head // 2 - angle.shape[1], before, 0))
    return angle.cos().float(), angle.sin().float()


def turned(x: Tensor, by: Rotation) -> Tensor:
    """x (B, heads, L, head) with each pair of channels (i, i + head // 2) turned by the angles (cos, sin) (L, head // 2)."""
    half = by[0].shape[1]
    cos, sin = (part.to(x) for part in by)
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], -1)
