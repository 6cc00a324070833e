"""The diffusion transformer: patches as tokens, told the clock and the class by adaptive norms that start at zero."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Usage
from .context import NOTHING, Context
from .layers.attention import Attention, CrossAttention, FeedForward, joined
from .layers.axes import fold, unfold
from .layers.block import Block
from .layers.embed import ClockEmbedding, linear, zero
from .layers.position import rotation, sincos


def gated_width(dim: int, ratio: float) -> int:
    """The inner width with which a gated feed-forward layer has as many parameters as a plain one of dim · ratio, in eights."""
    return max(8, round(dim * ratio * 2 / 3 / 8) * 8)


class DiTBlock(Block):
    """Attention and a feed-forward layer, each normalised, scaled, shifted and gated by the embedding (adaLN-zero: the identity at first).

    x (B, L, dim), emb (B, dim) -> (B, L, dim). `told` > 0 puts attention to tokens (B, M, told) between the two (PixArt-α, Chen et al. 2023).
    """

    def __init__(self, dim: int, heads: int, ratio: float, act: str, qk_norm: bool, dropout: float, told: int, eps: Sequence[float]):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(dim, e, elementwise_affine=False) for e in eps)
        self.attention = Attention(dim, heads, qk_norm)
        self.cross = CrossAttention(dim, told, heads, qk_norm) if told else None
        if self.cross:
            zero(self.cross.out)
        self.mlp = FeedForward(dim, int(dim * ratio) if act == "gelu" else gated_width(dim, ratio), act, dropout)
        self.tell = zero(nn.Linear(dim, 6 * dim))

    def forward(
        self,
        x: Tensor,
        emb: Tensor,
        rotate: tuple[Tensor, Tensor] | None = None,
        among: Tensor | None = None,
        tokens: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.tell(F.silu(emb))[:, None].chunk(6, -1)
        x = x + gate1 * self.attention(torch.addcmul(shift1, self.norm1(x), 1 + scale1), rotate, among)
        if self.cross is not None and tokens is not None:
            x = x + self.cross(x, tokens, mask)
        return x + gate2 * self.mlp(torch.addcmul(shift2, self.norm2(x), 1 + scale2))


class DiT(nn.Module):
    """Diffusion transformer (Peebles & Xie 2023); x (B, channels, *S), clock (B,) -> like x, for any size of 1 to 3 axes.

    width, depth, heads  of the transformer;  ratio  the feed-forward layers' width over it
    patch      pixels a side of a token; sizes that it does not divide are padded inside and cropped again
    positions  sincos (added once) or rope (turned in every attention);  act  gelu, swiglu or geglu;  qk_norm  normalised queries and keys
    tokens     the width of the tokens, such as words, that it is told; 0 is none
    place      where they enter: cross (attended to in every block) or token (put before the patches)
    concat     channels of the picture condition that is laid beside x
    shift, eps the clock's frequencies and the norms' epsilons, as published models vary
    """

    WAYS = {"adaln": {}, "cross": {"place": "cross"}, "token": {"place": "token"}, "concat": {}, "control": {}}

    def __init__(
        self,
        channels: int = 3,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        patch: int = 2,
        ratio: float = 4.0,
        positions: Literal["sincos", "rope"] = "sincos",
        act: Literal["gelu", "swiglu", "geglu"] = "gelu",
        qk_norm: bool = False,
        dropout: float = 0.0,
        tokens: int = 0,
        place: Literal["cross", "token"] = "cross",
        time: str = "sinusoidal",
        axes: int = 2,
        concat: int = 0,
        shift: int = 0,
        eps: Sequence[float] = (1e-6, 1e-6),
    ):
        super().__init__()
        if patch < 1 or depth < 1 or axes not in (1, 2, 3):
            raise Usage(f"a DiT needs patch and depth of 1 or more and examples of 1 to 3 axes, not {patch}, {depth} and {axes}")
        if len(eps) != 2:
            raise Usage(f"eps are two numbers, of the norm before attention and before the feed-forward layer, not {list(eps)}")
        self.dim, self.patch, self.told, self.positions, self.head = width, patch, tokens, positions, width // max(1, heads)
        self.clock = ClockEmbedding(width, 256, time, shift)
        for layer in (self.clock.mlp[0], self.clock.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)
        self.enter = linear((channels + concat) * patch**axes, width)
        self.read = linear(tokens, width) if tokens and place == "token" else None
        told = tokens if place == "cross" else 0
        self.blocks = nn.ModuleList(DiTBlock(width, heads, ratio, act, qk_norm, dropout, told, eps) for _ in range(depth))
        self.first = (depth + 1) // 2  # blocks that a control branch has as well: PixArt-δ's 13 of 28, about
        self.norm = nn.LayerNorm(width, 1e-6, elementwise_affine=False)
        self.tell = zero(nn.Linear(width, 2 * width))
        self.leave = zero(nn.Linear(width, channels * patch**axes))

    @staticmethod
    def fitting(shape: Sequence[int]) -> dict[str, int]:
        """The settings that examples of this shape call for."""
        return {"channels": shape[0], "axes": len(shape) - 1}

    def half(self) -> "DiT":
        """A copy of its first blocks."""
        copy = deepcopy(self)
        del copy.blocks[self.first :], copy.norm, copy.tell, copy.leave
        return copy

    def joints(self) -> list[nn.Module]:
        """A layer for each of the first blocks through which a control branch adds to what that block answers, zero at first."""
        return [zero(nn.Linear(self.dim, self.dim)) for _ in range(self.first)]

    def encode(self, x: Tensor, clock: Tensor, context: Context, hint: Tensor | None = None) -> tuple[list[Tensor], tuple[Any, ...]]:
        """(the sequence after each of the first blocks, the context's residuals added after each; what the other blocks are told).

        hint  (B, width, *grid), added to x once it has entered (PixArt-δ, Chen et al. 2024, sec. 3.2)
        """
        emb = self.clock(clock)
        if context.vector is not None:
            emb = emb + context.vector
        h = fold(context.beside(x), self.patch)
        grid = tuple(h.shape[2:])
        h = self.enter(h.flatten(2).transpose(1, 2))  # (B, L, width)
        if hint is not None:
            h = h + hint.flatten(2).transpose(1, 2)
        if self.positions == "sincos":
            h = h + sincos(grid, self.dim, h.device).to(h)
        length, among, tokens = h.shape[1], None, context.tokens
        if self.read is not None and tokens is not None:
            h, among = joined(self.read(tokens.to(self.read.weight.dtype)), context.mask, h)
            tokens = None
        rotate = rotation(grid, self.head, h.shape[1] - length, h.device) if self.positions == "rope" else None
        told, features = (emb, rotate, among, tokens, context.mask), []
        for i, block in enumerate(list(self.blocks)[: self.first]):
            (h,) = context.added([block(h, *told)], i)
            features.append(h)
        return features, (grid, length, *told)

    def forward(self, x: Tensor, clock: Tensor, context: Context | None = None) -> Tensor:
        context = (context or NOTHING).only("vector", "concat", "residuals", *(("tokens", "mask") if self.told else ()))
        size = tuple(x.shape[2:])
        (*_, h), (grid, length, emb, *told) = self.encode(x, clock, context)
        for block in list(self.blocks)[self.first :]:
            h = block(h, emb, *told)
        shift, scale = self.tell(F.silu(emb))[:, None].chunk(2, -1)
        h = self.leave(torch.addcmul(shift, self.norm(h[:, -length:]), 1 + scale))
        return unfold(h.transpose(1, 2).unflatten(2, grid), self.patch, size)
