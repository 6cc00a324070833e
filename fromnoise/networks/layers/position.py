"""Where a token stands, on one, two or three axes."""

import math
from functools import lru_cache

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]  # cosines and sines


def _angles(sizes: tuple[int, ...], share: int, device: torch.device) -> list[Tensor]:
    """The coordinates of every token times `share` falling frequencies, for each axis, the last one first (as MAE and DiT have it); each (L, share)."""
    dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
    falling = torch.exp(-math.log(10000) * torch.arange(share, dtype=dtype, device=device) / max(1, share))
    axes = torch.meshgrid(*(torch.arange(size, dtype=dtype, device=device) for size in sizes), indexing="ij")
    return [axis.flatten()[:, None] * falling for axis in reversed(axes)]


@lru_cache(64)
def sincos(sizes: tuple[int, ...], dim: int, device: torch.device) -> Tensor:
    """Sines and cosines of the coordinates, an equal share of `dim` for each axis; (L, dim), L the product of sizes.

    Vaswani et al. 2017, sec. 3.5, one axis after the other as in MAE and DiT (Peebles & Xie 2023). What the share leaves over is zero.
    """
    parts = [part for angle in _angles(sizes, dim // len(sizes) // 2, device) for part in (angle.sin(), angle.cos())]
    table = torch.cat(parts, 1).float()
    return torch.nn.functional.pad(table, (0, dim - table.shape[1]))


@lru_cache(64)
def rotation(sizes: tuple[int, ...], head: int, before: int, device: torch.device) -> Rotation:
    """Cosines and sines by which rotary embeddings turn queries and keys of width `head`; each (before + L, head // 2).

    Su et al. 2021, eq. 15, the pairs shared out among the axes. `before` tokens without a place, and pairs left over, are not turned.
    """
    angle = torch.cat(_angles(sizes, head // 2 // len(sizes), device), 1)
    angle = torch.nn.functional.pad(angle, (0, head // 2 - angle.shape[1], before, 0))
    return angle.cos().float(), angle.sin().float()


def turned(x: Tensor, by: Rotation) -> Tensor:
    """x (B, heads, L, head) with each pair of channels (i, i + head // 2) turned by the angles (cos, sin) (L, head // 2)."""
    half = by[0].shape[1]
    cos, sin = (part.to(x) for part in by)
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], -1)
