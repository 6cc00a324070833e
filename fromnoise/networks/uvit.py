"""U-ViT: a transformer in which everything is a token, with long skips from its first half to its second."""

from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import Usage
from .context import Context
from .layers.attention import Attention, FeedForward, joined
from .layers.axes import conv, fold, unfold
from .layers.block import Block
from .layers.embed import Kind, embedding, linear, zero
from .layers.position import Rotation, rotation, sincos
from .network import Network


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


class UViT(Network):
    """U-ViT (Bao et al. 2023); x (B, channels, *S), t (B,) -> like x, for any size of 1 to 3 axes. t, the class and words are tokens.

    width, depth, heads  of the transformer, depth odd: half before the middle block, half behind it with skips;  ratio  the feed-forward width
    patch      pixels a side of a token; sizes that it does not divide are padded inside and cropped again
    positions  sincos (added once; the paper learns them, for one size) or rope;  qk_norm  normalised queries and keys
    context_dim  the width of the context's tokens, such as words; 0 is none
    concat     channels of the picture condition that is laid beside x
    """

    ways = {"add": {}, "token": {}, "concat": {}, "control": {}}  # what would be added to the time embedding is a token beside it

    def __init__(
        self,
        channels: int = 3,
        width: int = 512,
        depth: int = 13,
        heads: int = 8,
        patch: int = 2,
        ratio: float = 4.0,
        positions: Literal["sincos", "rope"] = "sincos",
        qk_norm: bool = False,
        dropout: float = 0.0,
        context_dim: int = 0,
        time: Kind = "sinusoidal",
        axes: int = 2,
        concat: int = 0,
    ):
        super().__init__()
        if patch < 1 or depth < 1 or not depth % 2 or axes not in (1, 2, 3):
            raise Usage(f"a U-ViT needs an odd depth, patch of 1 or more and examples of 1 to 3 axes, not {depth}, {patch} and {axes}")
        self.dim = self.width = width
        self.patch, self.context_dim, self.positions, self.head = patch, context_dim, positions, width // max(1, heads)
        self.time_embedding = embedding(time, width)
        self.proj_in = linear((channels + concat) * patch**axes, width)
        self.context_proj = linear(context_dim, width) if context_dim else None
        self.token_types = nn.Parameter(0.02 * torch.randn(3, width))  # of time, class and words
        self.encoder_depth = depth // 2  # blocks before the middle one
        self.blocks = nn.ModuleList(UViTBlock(width, heads, ratio, qk_norm, dropout, i > self.encoder_depth) for i in range(depth))
        self.norm = nn.LayerNorm(width)
        self.proj_out = linear(width, channels * patch**axes)
        self.conv_out = zero(conv(axes, channels, channels))

    def encoder_copy(self) -> "UViT":
        copy = deepcopy(self)
        del copy.blocks[self.encoder_depth + 1 :], copy.norm, copy.proj_out, copy.conv_out
        return copy

    def zero_convs(self) -> list[nn.Module]:
        return [zero(nn.Linear(self.dim, self.dim)) for _ in range(self.encoder_depth + 1)]

    def encode(self, x: Tensor, t: Tensor, context: Context, hint: Tensor | None = None) -> tuple[list[Tensor], tuple[Any, ...]]:
        """The features are every long skip and the middle."""
        h = fold(context.beside(x), self.patch)
        grid = tuple(h.shape[2:])
        h = self.proj_in(h.flatten(2).transpose(1, 2))
        if hint is not None:
            h = h + hint.flatten(2).transpose(1, 2)
        if self.positions == "sincos":
            h = h + sincos(grid, self.dim, h.device).to(h)
        length = h.shape[1]
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
        rotate = rotation(grid, self.head, h.shape[1] - length, h.device) if self.positions == "rope" else None
        features = []
        for block in list(self.blocks)[: self.encoder_depth + 1]:
            h = block(h, None, rotate, among)
            features.append(h)
        return context.add_residuals(features), (grid, length, rotate, among)

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        (*skips, h), (grid, length, *inputs) = self.encode(x, t, self.accepted(context))
        for block in list(self.blocks)[self.encoder_depth + 1 :]:
            h = block(h, skips.pop(), *inputs)
        h = self.proj_out(self.norm(h[:, -length:]))
        return self.conv_out(unfold(h.transpose(1, 2).unflatten(2, grid), self.patch, tuple(x.shape[2:])))
