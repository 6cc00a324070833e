"""U-ViT: a transformer in which everything is a token, with long skips from its first half to its second."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import Usage
from .context import NOTHING, Context
from .layers.attention import Attention, FeedForward, joined
from .layers.axes import conv, fold, unfold
from .layers.block import Block
from .layers.embed import embedding, linear, zero
from .layers.position import rotation, sincos


class UViTBlock(Block):
    """A transformer's block, normalised before each layer, which first takes in the skip where there is one; (B, L, dim) -> the same."""

    def __init__(self, dim: int, heads: int, ratio: float, qk_norm: bool, dropout: float, skips: bool):
        super().__init__()
        self.skip = linear(2 * dim, dim) if skips else None
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, qk_norm, bias=False)
        self.mlp = FeedForward(dim, int(dim * ratio), dropout=dropout)

    def forward(
        self, x: Tensor, skip: Tensor | None = None, rotate: tuple[Tensor, Tensor] | None = None, among: Tensor | None = None
    ) -> Tensor:
        if self.skip is not None:
            x = self.skip(torch.cat([x, skip], -1))
        x = x + self.attention(self.norm1(x), rotate, among)
        return x + self.mlp(self.norm2(x))


class UViT(nn.Module):
    """U-ViT (Bao et al. 2023); x (B, channels, *S), clock (B,) -> like x, for any size of 1 to 3 axes. The clock, the class and words are tokens.

    width, depth, heads  of the transformer, depth odd: half before the middle block, half behind it with skips;  ratio  the feed-forward width
    patch      pixels a side of a token; sizes that it does not divide are padded inside and cropped again
    positions  sincos (added once; the paper learns them, for one size) or rope;  qk_norm  normalised queries and keys
    tokens     the width of the tokens, such as words, that it is told; 0 is none
    concat     channels of the picture condition that is laid beside x
    """

    WAYS = {"add": {}, "token": {}, "concat": {}, "control": {}}  # what would be added to the clock is a token beside the clock's

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
        tokens: int = 0,
        time: str = "sinusoidal",
        axes: int = 2,
        concat: int = 0,
    ):
        super().__init__()
        if patch < 1 or depth < 1 or not depth % 2 or axes not in (1, 2, 3):
            raise Usage(f"a U-ViT needs an odd depth, patch of 1 or more and examples of 1 to 3 axes, not {depth}, {patch} and {axes}")
        self.dim, self.patch, self.told, self.positions, self.head = width, patch, tokens, positions, width // max(1, heads)
        self.clock = embedding(time, width)
        self.enter = linear((channels + concat) * patch**axes, width)
        self.read = linear(tokens, width) if tokens else None
        self.kinds = nn.Parameter(0.02 * torch.randn(3, width))  # what tells clock, class and words apart
        self.first = depth // 2  # blocks before the middle one
        make = [(i > self.first) for i in range(depth)]
        self.blocks = nn.ModuleList(UViTBlock(width, heads, ratio, qk_norm, dropout, skips) for skips in make)
        self.norm = nn.LayerNorm(width)
        self.leave = linear(width, channels * patch**axes)
        self.smooth = zero(conv(axes, channels, channels))

    @staticmethod
    def fitting(shape: Sequence[int]) -> dict[str, int]:
        """The settings that examples of this shape call for."""
        return {"channels": shape[0], "axes": len(shape) - 1}

    def half(self) -> "UViT":
        """A copy of the blocks up to the middle one."""
        copy = deepcopy(self)
        del copy.blocks[self.first + 1 :], copy.norm, copy.leave, copy.smooth
        return copy

    def joints(self) -> list[nn.Module]:
        """A layer for each long skip, and one for the middle, through which a control branch adds to it, zero at first."""
        return [zero(nn.Linear(self.dim, self.dim)) for _ in range(self.first + 1)]

    def encode(self, x: Tensor, clock: Tensor, context: Context, hint: Tensor | None = None) -> tuple[list[Tensor], tuple[Any, ...]]:
        """(what is handed to the second half: every long skip and the middle, with the context's residuals; what the other blocks are told).

        hint  (B, width, *grid), added to x once it has entered
        """
        h = fold(context.beside(x), self.patch)
        grid = tuple(h.shape[2:])
        h = self.enter(h.flatten(2).transpose(1, 2))
        if hint is not None:
            h = h + hint.flatten(2).transpose(1, 2)
        if self.positions == "sincos":
            h = h + sincos(grid, self.dim, h.device).to(h)
        length = h.shape[1]
        among = None
        if context.tokens is not None and self.read is not None:
            h, among = joined(self.read(context.tokens.to(self.read.weight.dtype)) + self.kinds[2], context.mask, h)
        told = [self.clock(clock).to(h) + self.kinds[0]] + ([] if context.vector is None else [context.vector.to(h) + self.kinds[1]])
        h = torch.cat([torch.stack(told, 1).to(h.dtype), h], 1)
        if among is not None:
            among = torch.cat([among.new_ones(len(h), len(told)), among], 1)
        rotate = rotation(grid, self.head, h.shape[1] - length, h.device) if self.positions == "rope" else None
        features = []
        for block in list(self.blocks)[: self.first + 1]:
            h = block(h, None, rotate, among)
            features.append(h)
        return context.added(features), (grid, length, rotate, among)

    def forward(self, x: Tensor, clock: Tensor, context: Context | None = None) -> Tensor:
        context = (context or NOTHING).only("vector", "concat", "residuals", *(("tokens", "mask") if self.told else ()))
        size = tuple(x.shape[2:])
        (*skips, h), (grid, length, *told) = self.encode(x, clock, context)
        for block in list(self.blocks)[self.first + 1 :]:
            h = block(h, skips.pop(), *told)
        h = self.leave(self.norm(h[:, -length:]))
        return self.smooth(unfold(h.transpose(1, 2).unflatten(2, grid), self.patch, size))
