"""A plain stack of convolutions with adaptive norms: for latents that are small already."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import at_least
from .context import Context
from .layers.axes import conv, lay_last
from .layers.block import Block
from .layers.embed import zero
from .layers.norm import GroupNorm
from .network import Depth, Network


class AdaLNBlock(Block):
    """x + conv(norm(Mish(conv(norm(x)) · scale + shift))); (B, width, *S), emb (B, width) -> like x. The last convolution is zero at first."""

    def __init__(self, width: int, axes: int, groups: int):
        super().__init__()
        self.norm1, self.conv1 = GroupNorm(width, groups), conv(axes, width, width)
        self.modulation = nn.Linear(width, 2 * width)
        self.norm2, self.conv2 = GroupNorm(width, groups), zero(conv(axes, width, width))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.modulation(emb).reshape(len(x), -1, *[1] * (x.ndim - 2)).chunk(2, 1)
        return x + self.conv2(self.norm2(F.mish(torch.addcmul(shift, self.conv1(self.norm1(x)), scale))))


class ConvAdaLN(Network):
    """Convolutions of one width at one resolution with adaptive norms, 10.6 M parameters by default; x (B, channels, *S) of 1 to 3 axes, t (B,) -> like x."""

    ways = {"adaln": {}, "concat": {}}

    def __init__(self, channels: int = 8, width: int = 256, blocks: Depth = 8, groups: int = 8, axes: int = 2, concat: int = 0):
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
