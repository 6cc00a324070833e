"""Transformers on patches: DiT and U-ViT, and what they have in common."""

import math
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Usage, at_least
from ..registry import lookup
from .context import Context
from .layers.attention import ACTIVATIONS, Act, Attention, CrossAttention, FeedForward, Gated, joined
from .layers.axes import conv, conv_class, fold, unfold
from .layers.embed import Kind, Rotation, TimeEmbedding, embedding, linear, rotation, sincos, zero
from .network import OURS, Block, Compat, Network


class Transformer(Network):
    """A network of `blocks` on patches. The first `encoder_depth` blocks are the encoder, and what each of them gives is a feature."""

    name: ClassVar[str]
    blocks: nn.ModuleList
    encoder_depth: int

    def set_sizes(self, width: int, heads: int, patch: int, positions: str, context_dim: int, concat: int) -> None:
        """Checks and keeps the settings that both have."""
        at_least(1, self.name, width=width, heads=heads, patch=patch)
        at_least(0, self.name, context_dim=context_dim, concat=concat)
        self.dim = self.width = width
        self.patch, self.positions, self.head, self.context_dim, self.concat = patch, positions, width // heads, context_dim, concat

    def encoder_copy(self) -> Self:
        copy = super().encoder_copy()
        del copy.blocks[self.encoder_depth :]
        return copy

    def zero_convs(self) -> list[nn.Module]:
        return [zero(nn.Linear(self.dim, self.dim)) for _ in range(self.encoder_depth)]

    def patches(self, x: Tensor, context: Context, hint: Tensor | None) -> tuple[Tensor, tuple[int, ...]]:
        """(x as a sequence (B, L, width), with the hint and its positions added; the patches on each axis)."""
        h = fold(context.beside(x), self.patch)
        grid = tuple(h.shape[2:])
        h = self.proj_in(h.flatten(2).transpose(1, 2))
        if hint is not None:
            h = h + hint.flatten(2).transpose(1, 2)
        return h + sincos(grid, self.dim, h.device).to(h) if self.positions == "sincos" else h, grid

    def rotation(self, grid: tuple[int, ...], h: Tensor) -> Rotation | None:
        """How rotary embeddings turn the sequence h, whose last tokens are the patches."""
        return rotation(grid, self.head, h.shape[1] - math.prod(grid), h.device) if self.positions == "rope" else None

    def picture(self, h: Tensor, grid: tuple[int, ...], x: Tensor) -> Tensor:
        """What the patches h (B, L, channels · patch^axes) make, of the size of x."""
        return unfold(h.transpose(1, 2).unflatten(2, grid), self.patch, tuple(x.shape[2:]))


class DiTBlock(Block):
    """Attention and a feed-forward layer, each normalised, scaled, shifted and gated by the embedding (adaLN-zero: the identity at first).

    x (B, L, dim), emb (B, dim) -> (B, L, dim). `context_dim` > 0 puts attention to tokens (B, M, context_dim) between the two (PixArt-α, Chen et al. 2023).
    A gated feed-forward layer has as many parameters as a plain one of dim · ratio, its inner width being a multiple of 8.
    """

    def __init__(self, dim: int, heads: int, ratio: float, act: Act, qk_norm: bool, dropout: float, context_dim: int, eps: float):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(dim, e, elementwise_affine=False) for e in (1e-6, eps))
        self.attention = Attention(dim, heads, qk_norm)
        self.cross = CrossAttention(dim, context_dim, heads, qk_norm) if context_dim else None
        if self.cross:
            zero(self.cross.out)
        gated = isinstance(lookup(ACTIVATIONS, act, "activation"), Gated)
        self.mlp = FeedForward(dim, max(8, round(dim * ratio * 2 / 3 / 8) * 8) if gated else int(dim * ratio), act, dropout)
        self.modulation = zero(nn.Linear(dim, 6 * dim))

    def forward(
        self, x: Tensor, emb: Tensor, rotate: Rotation | None, among: Tensor | None, tokens: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(F.silu(emb))[:, None].chunk(6, -1)
        x = x + gate1 * self.attention(torch.addcmul(shift1, self.norm1(x), 1 + scale1), rotate, among)
        if self.cross is not None and tokens is not None:
            x = x + self.cross(x, tokens, mask)
        return x + gate2 * self.mlp(torch.addcmul(shift2, self.norm2(x), 1 + scale2))


class DiT(Transformer):
    """Diffusion transformer (Peebles & Xie 2023); x (B, channels, *S), t (B,) -> like x, for any size of 1 to 3 axes.

    width, depth, heads  of the transformer;  ratio  the feed-forward layers' width over it
    patch      pixels a side of a token; sizes that it does not divide are padded inside and cropped again
    positions  sincos (added once) or rope (turned in every attention);  act  gelu, swiglu or geglu;  qk_norm  normalised queries and keys
    context_dim  the width of the context's tokens, such as words; 0 is none
    place      where they enter: cross (attended to in every block) or token (put before the patches)
    concat     channels of the picture condition that is laid beside x
    compat     eps and shift of published models
    """

    name = "dit"
    ways = {"adaln": {}, "cross": {"place": "cross"}, "token": {"place": "token"}, "concat": {}, "control": {}}
    decoder = ("norm", "modulation", "proj_out")

    def __init__(
        self, channels: int = 3, width: int = 384, depth: int = 12, heads: int = 6, patch: int = 2, ratio: float = 4.0,
        positions: Literal["sincos", "rope"] = "sincos", act: Act = "gelu", qk_norm: bool = False, dropout: float = 0.0, context_dim: int = 0,
        place: Literal["cross", "token"] = "cross", time: Kind = "sinusoidal", axes: int = 2, concat: int = 0, compat: Compat = OURS,
    ):  # fmt: skip
        super().__init__()
        self.set_sizes(width, heads, patch, positions, context_dim, concat)
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
        self.blocks = nn.ModuleList(DiTBlock(width, heads, ratio, act, qk_norm, dropout, cross, eps) for _ in range(depth))
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
        inputs, features = (emb, self.rotation(grid, h), among, tokens, context.mask), []
        for i, block in enumerate(list(self.blocks)[: self.encoder_depth]):
            (h,) = context.add_residuals([block(h, *inputs)], i)
            features.append(h)
        return features, (grid, *inputs)

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        (*_, h), (grid, *inputs) = self.encode(x, t, self.accepted(context))
        for block in list(self.blocks)[self.encoder_depth :]:
            h = block(h, *inputs)
        shift, scale = self.modulation(F.silu(inputs[0]))[:, None].chunk(2, -1)
        return self.picture(self.proj_out(torch.addcmul(shift, self.norm(h[:, -math.prod(grid) :]), 1 + scale)), grid, x)


class UViTBlock(Block):
    """A transformer's block, normalised before each layer, with the skip beside x where there is one; (B, L, dim) -> the same."""

    def __init__(self, dim: int, heads: int, ratio: float, qk_norm: bool, dropout: float, skips: bool):
        super().__init__()
        self.skip = linear(2 * dim, dim) if skips else None
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, qk_norm, bias=False)
        self.mlp = FeedForward(dim, int(dim * ratio), dropout=dropout)

    def forward(self, x: Tensor, skip: Tensor | None = None, rotate: Rotation | None = None, among: Tensor | None = None) -> Tensor:
        if self.skip is not None:
            x = self.skip(torch.cat([x, skip], -1))
        x = x + self.attention(self.norm1(x), rotate, among)
        return x + self.mlp(self.norm2(x))


class UViT(Transformer):
    """U-ViT (Bao et al. 2023); x (B, channels, *S), t (B,) -> like x, for any size of 1 to 3 axes. t, the class and words are tokens.

    width, depth, heads  of the transformer, depth odd: half before the middle block, half behind it with skips;  ratio  the feed-forward width
    patch      pixels a side of a token; sizes that it does not divide are padded inside and cropped again
    positions  sincos (added once; the paper learns them, for one size) or rope;  qk_norm  normalised queries and keys
    context_dim  the width of the context's tokens, such as words; 0 is none
    concat     channels of the picture condition that is laid beside x
    """

    name = "uvit"
    ways = {"add": {}, "token": {}, "concat": {}, "control": {}}  # what would be added to the time embedding is a token beside it
    decoder = ("norm", "proj_out", "conv_out")

    def __init__(
        self, channels: int = 3, width: int = 512, depth: int = 13, heads: int = 8, patch: int = 2, ratio: float = 4.0,
        positions: Literal["sincos", "rope"] = "sincos", qk_norm: bool = False, dropout: float = 0.0, context_dim: int = 0,
        time: Kind = "sinusoidal", axes: int = 2, concat: int = 0,
    ):  # fmt: skip
        super().__init__()
        self.set_sizes(width, heads, patch, positions, context_dim, concat)
        at_least(0, "uvit", ratio=ratio)
        if depth < 1 or not depth % 2:
            raise Usage(f"uvit: depth is odd, 1 or more, not {depth}")
        self.time_embedding = embedding(time, width)
        self.proj_in = linear((channels + concat) * patch**axes, width)
        self.context_proj = linear(context_dim, width) if context_dim else None
        self.token_types = nn.Parameter(0.02 * torch.randn(3, width))  # of time, class and words
        self.encoder_depth = depth // 2 + 1  # to the middle block
        self.blocks = nn.ModuleList(UViTBlock(width, heads, ratio, qk_norm, dropout, i >= self.encoder_depth) for i in range(depth))
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
            h = block(h, None, rotate, among)
            features.append(h)
        return context.add_residuals(features), (grid, rotate, among)

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        (*skips, h), (grid, *inputs) = self.encode(x, t, self.accepted(context))
        for block in list(self.blocks)[self.encoder_depth :]:
            h = block(h, skips.pop(), *inputs)
        return self.conv_out(self.picture(self.proj_out(self.norm(h[:, -math.prod(grid) :])), grid, x))
