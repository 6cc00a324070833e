"""Embeddings of time and place, and layers by how their weights start."""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from ...registry import lookup

Rotation = tuple[Tensor, Tensor]  # cosines and sines


class Sinusoidal(nn.Module):
    """Sines and cosines of t at geometrically falling frequencies (Vaswani et al. 2017; Ho et al. 2020); (B,) -> (B, dim).

    t, about 0 to 1, is taken times 1000, as if it were an index of 0 to 1000. The frequencies fall from 1 to 1 / 10000, which the
    last one reaches where `shift` is 1 (Ho et al.'s code) and just misses where it is 0 (later ones).
    """

    def __init__(self, dim: int, shift: int = 0):
        super().__init__()
        self.dim, self.shift = dim, shift

    def forward(self, t: Tensor) -> Tensor:
        dtype, half = torch.promote_types(t.dtype, torch.float32), (self.dim + 1) // 2
        falling = torch.arange(half, dtype=dtype, device=t.device) / max(1, half - self.shift)
        angle = 1000.0 * t[:, None].to(dtype) * torch.exp(-math.log(10000.0) * falling)
        return torch.cat([angle.cos(), angle.sin()], 1)[:, : self.dim]


class Fourier(nn.Module):
    """Cosines of t at fixed random frequencies and phases (Tancik et al. 2020; Karras et al. 2024); (B,) -> (B, dim)."""

    def __init__(self, dim: int, shift: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("frequencies", 8 * math.pi * torch.randn(dim, generator=generator))
        self.register_buffer("phases", 2 * math.pi * torch.rand(dim, generator=generator))

    def forward(self, t: Tensor) -> Tensor:
        return math.sqrt(2) * torch.cos(t[:, None] * self.frequencies + self.phases)


EMBEDDINGS: dict[str, type[nn.Module]] = {"sinusoidal": Sinusoidal, "fourier": Fourier}
Kind = str | Callable[..., nn.Module]  # of EMBEDDINGS, module:Name, or kind(width, shift) itself


def embedding(kind: Kind, width: int, shift: int = 0) -> nn.Module:
    """A time embedding of this kind; (B,) -> (B, width)."""
    return lookup(EMBEDDINGS, kind, "time embedding")(width, shift)


class TimeEmbedding(nn.Module):
    """t as a vector that the layers read: an embedding of `EMBEDDINGS`, then two linear layers; (B,) -> (B, dim)."""

    def __init__(self, dim: int, width: int, kind: Kind = "sinusoidal", shift: int = 0):
        super().__init__()
        self.embed = embedding(kind, width, shift)
        self.mlp = nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, t: Tensor) -> Tensor:
        return self.mlp(self.embed(t).to(self.mlp[0].weight.dtype))


def zero(layer: nn.Module) -> nn.Module:
    """The layer with all its weights zero, so that what it adds is nothing at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def linear(channels_in: int, channels_out: int, bias: bool = True) -> nn.Linear:
    """A linear layer as transformers start it: Xavier's uniform weights (Glorot & Bengio 2010), no bias."""
    layer = nn.Linear(channels_in, channels_out, bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def _angles(sizes: tuple[int, ...], share: int, device: torch.device) -> list[Tensor]:
    """The coordinates of every token times `share` falling frequencies, for each axis, the last one first (as MAE and DiT have it); each (L, share)."""
    dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
    falling = torch.exp(-math.log(10000) * torch.arange(share, dtype=dtype, device=device) / max(1, share))
    axes = torch.meshgrid(*(torch.arange(size, dtype=dtype, device=device) for size in sizes), indexing="ij")
    return [axis.flatten()[:, None] * falling for axis in reversed(axes)]


@lru_cache(64)
@torch.inference_mode(False)  # what is kept while sampling serves training too
def sincos(sizes: tuple[int, ...], dim: int, device: torch.device) -> Tensor:
    """Sines and cosines of coordinates, (L, dim): a share of `dim` for each axis (Vaswani et al. 2017; Peebles & Xie 2023), zeros for what is left over."""
    parts = [part for angle in _angles(sizes, dim // len(sizes) // 2, device) for part in (angle.sin(), angle.cos())]
    table = torch.cat(parts, 1).float()
    return torch.nn.functional.pad(table, (0, dim - table.shape[1]))


@lru_cache(64)
@torch.inference_mode(False)
def rotation(sizes: tuple[int, ...], head: int, before: int, device: torch.device) -> Rotation:
    """Cosines and sines that turn queries and keys (Su et al. 2021, eq. 15), (before + L, head // 2), pairs shared among axes; `before` tokens are not turned."""
    angle = torch.cat(_angles(sizes, head // 2 // len(sizes), device), 1)
    angle = torch.nn.functional.pad(angle, (0, head // 2 - angle.shape[1], before, 0))
    return angle.cos().float(), angle.sin().float()


def turned(x: Tensor, by: Rotation) -> Tensor:
    """x (B, heads, L, head) with each pair of channels (i, i + head // 2) turned by the angles (cos, sin) (L, head // 2)."""
    half = by[0].shape[1]
    cos, sin = (part.to(x) for part in by)
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], -1)
