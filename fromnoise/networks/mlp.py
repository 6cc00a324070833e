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
    """A network of examples of any shape, flattened: `channels` numbers, of so many `places`, at each of which `concat` more lie beside them."""

    ways = {"add": {}, "concat": {}}

    @classmethod
    def fitting(cls, shape: Sequence[int]) -> dict[str, int]:
        return {"channels": math.prod(shape), "places": math.prod(shape[1:])}


class MLP(Points):
    """Residual layers, the embedding added before each; points (B, channels), or anything that flattens to it."""

    def __init__(self, channels: int = 2, width: int = 128, depth: int = 4, time: Kind = "fourier", places: int = 1, concat: int = 0):
        super().__init__()
        at_least(1, "mlp", width=width)
        at_least(0, "mlp", concat=concat)
        self.dim, self.concat = width, concat
        self.time_embedding = TimeEmbedding(width, 64, time)
        self.proj_in = nn.Linear(channels + places * concat, width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)) for _ in range(depth)
        )
        self.proj_out = nn.Sequential(nn.LayerNorm(width), zero(nn.Linear(width, channels)))

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        context = self.accepted(context)
        emb, h = self.embedding(t, context), self.proj_in(context.beside(x).flatten(1))
        for layer in self.layers:
            h = h + layer(h + emb)
        return self.proj_out(h).reshape(x.shape)


class TwoLinear(Points):
    """Two linear layers, the smallest network that draws digits (C, H, W flattened; t and the condition are laid beside the pixels).

    concat(x 784, t 1, LayerNorm(vector) 239) = 1024 -> Linear -> Mish -> LayerNorm -> Linear, the last one zero at first. At its defaults
    7,419,118 parameters, and 7,421,508 with a label condition of 10 classes (its embedding of 10 x 239).
    """

    def __init__(self, channels: int = 784, width: int = 4096, vector: int = 239, places: int = 1, concat: int = 0):
        super().__init__()
        at_least(1, "two_linear", width=width, vector=vector)
        at_least(0, "two_linear", concat=concat)
        self.dim, self.concat = vector, concat
        self.norm = nn.LayerNorm(vector)
        first, last = nn.Linear(channels + places * concat + 1 + vector, width), zero(nn.Linear(width, channels))
        self.layers = nn.Sequential(first, nn.Mish(), nn.LayerNorm(width), last)

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        context = self.accepted(context)
        vector = context.vector
        vector = self.norm(vector) if vector is not None else x.new_zeros(len(x), self.dim)
        return self.layers(torch.cat([context.beside(x).flatten(1), t[:, None].to(x), vector.to(x)], 1)).reshape(x.shape)
