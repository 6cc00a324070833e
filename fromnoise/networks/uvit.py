"""U-ViT: a transformer in which everything is a token, with long skips from its first half to its second."""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import Usage, at_least
from .context import Context
from .layers.attention import Attention, FeedForward, joined
from .layers.axes import conv
from .layers.block import Block
from .layers.embed import Kind, Rotation, embedding, linear, zero
from .layers.temporal import Temporal
from .network import Depth
from .transformer import Transformer


class UViTBlock(Block):
    """A transformer's block, normalised before each layer, with the skip beside x where there is one, and for clips a temporal layer; (B, L, dim) -> the same."""

    def __init__(self, dim: int, heads: int, ratio: float, qk_norm: bool, dropout: float, skips: bool, temporal: bool = False):
        super().__init__()
        self.skip = linear(2 * dim, dim) if skips else None
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, qk_norm, bias=False)
        self.mlp = FeedForward(dim, int(dim * ratio), dropout=dropout)
        self.temporal = Temporal(dim, dim // heads) if temporal else None

    def forward(
        self, x: Tensor, skip: Tensor | None = None, rotate: Rotation | None = None, among: Tensor | None = None, frames: int = 0
    ) -> Tensor:
        if self.skip is not None:
            x = self.skip(torch.cat([x, skip], -1))
        x = x + self.attention(self.norm1(x), rotate, among)
        x = x + self.mlp(self.norm2(x))
        return self.temporal(x, frames) if self.temporal is not None and frames else x


class UViT(Transformer):
    """U-ViT (Bao et al. 2023); x (B, channels, *S), t (B,) -> like x, for any size of 1 to 3 axes. t, the class and words are tokens.

    width, depth, heads  of the transformer, depth odd: half before the middle block, half behind it with skips;  ratio  the feed-forward width
    patch      pixels a side of a token; sizes that it does not divide are padded inside and cropped again
    positions  sincos (added once; the paper learns them, for one size) or rope;  qk_norm  normalised queries and keys
    context_dim  the width of the context's tokens, such as words; 0 is none
    concat     channels of the picture condition that is laid beside x
    temporal   whether clips go through it frame by frame, with layers over time after each block; else time is an axis like the others
    """

    name = "uvit"
    ways = {"add": {}, "token": {}, "concat": {}, "control": {}}  # what would be added to the time embedding is a token beside it
    decoder = ("norm", "proj_out", "conv_out")

    def __init__(
        self, channels: int = 3, width: int = 512, depth: Depth = 13, heads: int = 8, patch: int = 2, ratio: float = 4.0,
        positions: Literal["sincos", "rope"] = "sincos", qk_norm: bool = False, dropout: float = 0.0, context_dim: int = 0,
        time: Kind = "sinusoidal", axes: int = 2, concat: int = 0, temporal: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.set_sizes(width, heads, patch, positions, context_dim, concat, temporal)
        at_least(0, "uvit", ratio=ratio)
        if depth < 1 or not depth % 2:
            raise Usage(f"uvit: depth is odd, 1 or more, not {depth}")
        self.time_embedding = embedding(time, width)
        self.proj_in = linear((channels + concat) * patch**axes, width)
        self.context_proj = linear(context_dim, width) if context_dim else None
        self.token_types = nn.Parameter(0.02 * torch.randn(3, width))  # of time, class and words
        self.encoder_depth = depth // 2 + 1  # to the middle block
        self.blocks = nn.ModuleList(UViTBlock(width, heads, ratio, qk_norm, dropout, i >= self.encoder_depth, temporal) for i in range(depth))
        self.norm = nn.LayerNorm(width)
        self.proj_out = linear(width, channels * patch**axes)
        self.conv_out = zero(conv(axes, channels, channels))

    def encode(self, x: Tensor, t: Tensor, context: Context, hint: Tensor | None = None) -> tuple[list[Tensor], tuple[Any, ...]]:
        """The features are every long skip and the middle."""
        h, grid = self.patches(x, context, hint)
        among = None
        if context.tokens is not None and self.context_proj is not None:
            tokens = self.context_proj(context.tokens.to(self.context_proj.weight.dtype))
            h, among = joined(tokens + self.token_types[2], context.mask, h)
        extra = [self.time_embedding(t).to(h) + self.token_types[0]]
        if context.vector is not None:
            extra.append(context.vector.to(h) + self.token_types[1])
        h = torch.cat([torch.stack(extra, 1).to(h.dtype), h], 1)
        if among is not None:
            among = torch.cat([among.new_ones(len(h), len(extra)), among], 1)
        rotate, features = self.rotation(grid, h), []
        for block in list(self.blocks)[: self.encoder_depth]:
            h = block(h, None, rotate, among, context.frames)
            features.append(h)
        return context.add_residuals(features), (grid, rotate, among, context.frames)

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        clips = x
        x, t, context = self.framed(x, t, self.accepted(context))
        skips, (grid, *inputs) = self.encode(x, t, context)
        h = skips.pop()  # as in UNet
        for block in list(self.blocks)[self.encoder_depth :]:
            h = block(h, skips.pop(), *inputs)
        return self.clips(self.conv_out(self.picture(self.proj_out(self.norm(h[:, -math.prod(grid) :])), grid, x)), clips)
