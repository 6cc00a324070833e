"""Embeddings of the clock."""

import math

import torch
from torch import Tensor, nn


class Sinusoidal(nn.Module):
    """Sines and cosines of the clock at geometrically falling frequencies (Vaswani et al. 2017; Ho et al. 2020); (B,) -> (B, dim).

    The clock, about 0 to 1, is taken times `scale`, so that 1000 gives what an index of 0 to 1000 would.
    """

    def __init__(self, dim: int, scale: float = 1000.0, max_period: float = 10000.0):
        super().__init__()
        self.scale, self.dim = scale, dim
        half = (dim + 1) // 2
        self.register_buffer("frequencies", torch.exp(-math.log(max_period) * torch.arange(half) / half), persistent=False)

    def forward(self, clock: Tensor) -> Tensor:
        angle = self.scale * clock[:, None].to(torch.promote_types(clock.dtype, torch.float32)) * self.frequencies
        return torch.cat([angle.cos(), angle.sin()], 1)[:, : self.dim]


class Fourier(nn.Module):
    """Cosines of the clock at fixed random frequencies and phases (Tancik et al. 2020; Karras et al. 2024); (B,) -> (B, dim)."""

    def __init__(self, dim: int, scale: float = 4.0):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("frequencies", 2 * math.pi * scale * torch.randn(dim, generator=generator))
        self.register_buffer("phases", 2 * math.pi * torch.rand(dim, generator=generator))
        self.dim = dim

    def forward(self, clock: Tensor) -> Tensor:
        return math.sqrt(2) * torch.cos(clock[:, None] * self.frequencies + self.phases)


EMBEDDINGS: dict[str, type[nn.Module]] = {"sinusoidal": Sinusoidal, "fourier": Fourier}


class ClockEmbedding(nn.Module):
    """The clock as a vector that the layers read: an embedding of `EMBEDDINGS`, then two linear layers; (B,) -> (B, dim)."""

    def __init__(self, dim: int, width: int, kind: str = "sinusoidal"):
        super().__init__()
        self.embed = EMBEDDINGS[kind](width)
        self.mlp = nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, clock: Tensor) -> Tensor:
        return self.mlp(self.embed(clock).to(self.mlp[0].weight.dtype))


def zero(layer: nn.Module) -> nn.Module:
    """The layer with all its weights zero, so that what it adds is nothing at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
