"""The diffusion transformer: patches as tokens, modulated by adaptive norms that start at zero."""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Usage, at_least
from ..registry import lookup
from .context import Context
from .layers.attention import ACTIVATIONS, Act, Attention, CrossAttention, FeedForward, Gated, joined
from .layers.axes import conv_class
from .layers.block import Block
from .layers.embed import Kind, Rotation, TimeEmbedding, linear, zero
from .layers.temporal import Temporal
from .network import OURS, Compat, Depth
from .transformer import Transformer


class DiTBlock(Block):
    """Attention and a feed-forward layer, each normalised, scaled, shifted and gated by the embedding (adaLN-zero: the identity at first).

    x (B, L, dim), emb (B, dim) -> (B, L, dim). `context_dim` > 0 puts attention to tokens (B, M, context_dim) between the two (PixArt-α, Chen et al. 2023).
    A gated feed-forward layer has as many parameters as a plain one of dim · ratio, its inner width being a multiple of 8. `temporal`: layers over time behind.
    """

    def __init__(self, dim: int, heads: int, ratio: float, act: Act, qk_norm: bool, dropout: float, context_dim: int, eps: float, temporal: bool):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(dim, e, elementwise_affine=False) for e in (1e-6, eps))
        self.attention = Attention(dim, heads, qk_norm)
        self.cross = CrossAttention(dim, context_dim, heads, qk_norm) if context_dim else None
        if self.cross:
            zero(self.cross.out)
        gated = isinstance(lookup(ACTIVATIONS, act, "activation"), Gated)
        self.mlp = FeedForward(dim, max(8, round(dim * ratio * 2 / 3 / 8) * 8) if gated else int(dim * ratio), act, dropout)
        self.modulation = zero(nn.Linear(dim, 6 * dim))
        self.temporal = Temporal(dim, dim // heads) if temporal else None

    def forward(
        self, x: Tensor, emb: Tensor, rotate: Rotation | None, among: Tensor | None, tokens: Tensor | None, mask: Tensor | None, frames: int
    ) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(F.silu(emb))[:, None].chunk(6, -1)
        x = x + gate1 * self.attention(torch.addcmul(shift1, self.norm1(x), 1 + scale1), rotate, among)
        if self.cross is not None and tokens is not None:
            x = x + self.cross(x, tokens, mask)
        x = x + gate2 * self.mlp(torch.addcmul(shift2, self.norm2(x), 1 + scale2))
        return self.temporal(x, frames) if self.temporal is not None and frames else x


class DiT(Transformer):
    """Diffusion transformer (Peebles & Xie 2023); x (B, channels, *S), t (B,) -> like x, for any size of 1 to 3 axes.

    width, depth, heads  of the transformer;  ratio  the feed-forward layers' width over it
    patch      pixels a side of a token; sizes that it does not divide are padded inside and cropped again
    positions  sincos (added once) or rope (turned in every attention);  act  gelu, swiglu or geglu;  qk_norm  normalised queries and keys
    context_dim  the width of the context's tokens, such as words; 0 is none
    place      where they enter: cross (attended to in every block) or token (put before the patches)
    concat     channels of the picture condition that is laid beside x
    temporal   whether clips go through it frame by frame, with layers over time after each block; else time is an axis like the others
    compat     eps and shift of published models
    """

    name = "dit"
    ways = {"adaln": {}, "cross": {"place": "cross"}, "token": {"place": "token"}, "concat": {}, "control": {}}
    decoder = ("norm", "modulation", "proj_out")

    def __init__(
        self, channels: int = 3, width: int = 384, depth: Depth = 12, heads: int = 6, patch: int = 2, ratio: float = 4.0,
        positions: Literal["sincos", "rope"] = "sincos", act: Act = "gelu", qk_norm: bool = False, dropout: float = 0.0, context_dim: int = 0,
        place: Literal["cross", "token"] = "cross", time: Kind = "sinusoidal", axes: int = 2, concat: int = 0, compat: Compat = OURS,
        temporal: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.set_sizes(width, heads, patch, positions, context_dim, concat, temporal)
        at_least(1, "dit", depth=depth)
        at_least(0, "dit", ratio=ratio)
        conv_class(axes)  # it has none, and the same axes
        if compat != Compat(eps=compat.eps, shift=compat.shift):
            raise Usage("a DiT has no group norms and no strided convolutions: leave groups and pad_late out of compat")
        self.time_embedding = TimeEmbedding(width, 256, time, compat.shift)
        for layer in (self.time_embedding.mlp[0], self.time_embedding.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)
        self.proj_in = linear((channels + concat) * patch**axes, width)
        self.context_proj = linear(context_dim, width) if context_dim and place == "token" else None
        cross, eps = context_dim if place == "cross" else 0, 1e-6 if compat.eps is None else compat.eps
        self.blocks = nn.ModuleList(DiTBlock(width, heads, ratio, act, qk_norm, dropout, cross, eps, temporal) for _ in range(depth))
        self.encoder_depth = (depth + 1) // 2  # PixArt-δ's control branch has 13 of 28, about
        self.norm = nn.LayerNorm(width, 1e-6, elementwise_affine=False)
        self.modulation = zero(nn.Linear(width, 2 * width))
        self.proj_out = zero(nn.Linear(width, channels * patch**axes))

    def encode(self, x: Tensor, t: Tensor, context: Context, hint: Tensor | None = None) -> tuple[list[Tensor], tuple[Any, ...]]:
        """The features are the sequence after each of the first blocks (PixArt-δ, Chen et al. 2024, sec. 3.2)."""
        emb = self.embedding(t, context)
        h, grid = self.patches(x, context, hint)
        among, tokens = None, context.tokens
        if self.context_proj is not None and tokens is not None:
            h, among = joined(self.context_proj(tokens.to(self.context_proj.weight.dtype)), context.mask, h)
            tokens = None
        inputs, features = (emb, self.rotation(grid, h), among, tokens, context.mask, context.frames), []
        for i, block in enumerate(list(self.blocks)[: self.encoder_depth]):
            (h,) = context.add_residuals([block(h, *inputs)], i)
            features.append(h)
        return features, (grid, *inputs)

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        clips = x
        x, t, context = self.framed(x, t, self.accepted(context))
        (*_, h), (grid, *inputs) = self.encode(x, t, context)
        for block in list(self.blocks)[self.encoder_depth :]:
            h = block(h, *inputs)
        shift, scale = self.modulation(F.silu(inputs[0]))[:, None].chunk(2, -1)
        return self.clips(self.picture(self.proj_out(torch.addcmul(shift, self.norm(h[:, -math.prod(grid) :]), 1 + scale)), grid, x), clips)
