"""Small networks: for points, for digits, and for latents that are small already."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Usage, at_least
from .context import Context
from .layers.axes import conv, lay_last
from .layers.embed import Kind, TimeEmbedding, zero
from .layers.norm import GroupNorm
from .network import Block, Network


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


class Conv(Network):
    """Three convolutions, after each but the last the embedding as an added bias per channel; (B, C, *S) of 1 to 3 axes."""

    ways = {"add": {}, "concat": {}}

    def __init__(self, channels: int = 1, width: int = 64, kernel: int = 5, axes: int = 2, time: Kind = "sinusoidal", concat: int = 0):
        super().__init__()
        at_least(1, "conv", width=width)
        at_least(0, "conv", concat=concat)
        if kernel < 1 or not kernel % 2:
            raise Usage(f"conv: kernel is odd, 1 or more, not {kernel}")
        self.dim, self.concat = width, concat
        self.time_embedding = TimeEmbedding(width, width, time)
        self.emb_proj = nn.Linear(width, width)
        self.conv_in = conv(axes, channels + concat, width, kernel)
        self.middle = conv(axes, width, width, kernel)
        self.conv_out = conv(axes, width, channels, kernel)
        self.act = nn.GELU("tanh")

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        context = self.accepted(context)
        emb = self.embedding(t, context)
        bias = self.emb_proj(self.act(emb)).reshape(*emb.shape, *[1] * (x.ndim - 2))
        h = self.act(self.conv_in(context.beside(x)) + bias)
        h = h + self.act(self.middle(h) + bias)
        return self.conv_out(h)


class AdaLNBlock(Block):
    """x + conv(norm(Mish(conv(norm(x)) · scale + shift))); (B, width, *S), emb (B, width) -> like x. The last convolution is zero at first."""

    def __init__(self, width: int, axes: int, groups: int):
        super().__init__()
        self.norm1, self.conv1 = GroupNorm(width, groups), conv(axes, width, width)
        self.modulation = nn.Linear(width, 2 * width)
        self.norm2, self.conv2 = GroupNorm(width, groups), zero(conv(axes, width, width))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.modulation(emb).reshape(len(x), -1, *[1] * (x.ndim - 2)).chunk(2, 1)
        h = torch.addcmul(shift, self.conv1(self.norm1(x)), scale)
        return x + self.conv2(self.norm2(F.mish(h)))


class ConvAdaLN(Network):
    """Convolutions of one width at one resolution with adaptive norms; x (B, channels, *S) of 1 to 3 axes, t (B,) -> like x.

    With width 256, 8 blocks and a label condition of 10 classes without drop it has 10,608,904 parameters on latents of 8 channels.
    """

    ways = {"adaln": {}, "concat": {}}

    def __init__(self, channels: int = 8, width: int = 256, blocks: int = 8, groups: int = 8, axes: int = 2, concat: int = 0):
        super().__init__()
        at_least(1, "conv_adaln", width=width, blocks=blocks)
        at_least(0, "conv_adaln", concat=concat)
        self.dim, self.concat = width, concat
        self.norm = nn.LayerNorm(width)
        self.emb_proj = nn.Linear(1 + width, width)
        self.conv_in = conv(axes, channels + concat, width)
        self.blocks = nn.ModuleList(AdaLNBlock(width, axes, groups) for _ in range(blocks))
        self.conv_out = nn.Sequential(nn.Mish(), GroupNorm(width, groups), zero(conv(axes, width, channels)))

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        context = self.accepted(context)
        vector = self.norm(context.vector) if context.vector is not None else x.new_zeros(len(x), self.dim)
        emb = F.mish(self.emb_proj(torch.cat([t[:, None].to(vector), vector], 1)))
        h = lay_last(self.conv_in(context.beside(x)), self.conv_out[2].weight)
        for block in self.blocks:
            h = block(h, emb)
        return self.conv_out(h)
