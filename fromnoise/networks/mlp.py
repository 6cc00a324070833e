"""Multilayer perceptrons, for points and for whatever flattens to them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import at_least
from .context import Context
from .layers.embed import Kind, TimeEmbedding, zero
from .network import Network


class Points(Network):
    """A network of examples of any shape, flattened."""

    @classmethod
    def fitting(cls, shape: Sequence[int]) -> dict[str, int]:
        return {"channels": math.prod(shape)}


class MLP(Points):
    """Residual layers, the embedding added before each; points (B, channels), or anything that flattens to it."""

    def __init__(self, channels: int = 2, width: int = 128, depth: int = 4, time: Kind = "fourier"):
        super().__init__()
        at_least(1, "mlp", width=width)
        self.dim = width
        self.time_embedding = TimeEmbedding(width, 64, time)
        self.proj_in = nn.Linear(channels, width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)) for _ in range(depth)
        )
        self.proj_out = nn.Sequential(nn.LayerNorm(width), zero(nn.Linear(width, channels)))

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        emb = self.embedding(t, self.accepted(context))
        h = self.proj_in(x.flatten(1))
        for layer in self.layers:
            h = h + layer(h + emb)
        return self.proj_out(h).reshape(x.shape)


class TwoLinear(Points):
    """Two linear layers, the smallest network that draws digits (C, H, W flattened; t and the condition are laid beside the pixels).

    concat(x 784, t 1, LayerNorm(vector) 239) = 1024 -> Linear -> Mish -> LayerNorm -> Linear, the last one zero at first. At its defaults
    7,419,118 parameters, and 7,421,508 with a label condition of 10 classes (its embedding of 10 x 239).
    """

    def __init__(self, channels: int = 784, width: int = 4096, vector: int = 239):
        super().__init__()
        at_least(1, "two_linear", width=width, vector=vector)
        self.dim = vector
        self.norm = nn.LayerNorm(vector)
        first, last = nn.Linear(channels + 1 + vector, width), zero(nn.Linear(width, channels))
        self.layers = nn.Sequential(first, nn.Mish(), nn.LayerNorm(width), last)

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        vector = self.accepted(context).vector
        vector = self.norm(vector) if vector is not None else x.new_zeros(len(x), self.dim)
        return self.layers(torch.cat([x.flatten(1), t[:, None].to(x), vector.to(x)], 1)).reshape(x.shape)
