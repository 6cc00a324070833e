"""The set transformer: points as tokens without an order, among which a few learned ones carry what all have to say."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Usage, Within, at_least
from .context import Context
from .layers.attention import CrossAttention, FeedForward
from .layers.block import Block
from .layers.embed import Kind, TimeEmbedding, linear, zero
from .network import Depth, Network


class InducedBlock(Block):
    """Induced set attention and a feed-forward layer, modulated by the embedding as in a DiT (the identity at first).

    ISAB(X) = MAB(X, MAB(I, X)) (Lee et al. 2019, eq. 9 and 10): `induced` learned points I attend to all of X, and X to what they found, in O(L) time.
    x (B, L, dim), emb (B, dim) -> (B, L, dim).
    """

    def __init__(self, dim: int, heads: int, induced: int, ratio: float):
        super().__init__()
        self.induced = nn.Parameter(torch.randn(1, induced, dim))
        self.norm1, self.norm2, self.norm_induced = (nn.LayerNorm(dim, 1e-6, elementwise_affine=False) for _ in range(3))
        self.gather, self.spread = (CrossAttention(dim, dim, heads) for _ in range(2))
        self.mlp_induced, self.mlp = (FeedForward(dim, int(dim * ratio)) for _ in range(2))
        self.modulation = zero(nn.Linear(dim, 6 * dim))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(F.silu(emb))[:, None].chunk(6, -1)
        h = torch.addcmul(shift1, self.norm1(x), 1 + scale1)
        found = self.induced.expand(len(x), -1, -1)
        found = found + self.gather(found, h)
        found = found + self.mlp_induced(self.norm_induced(found))
        x = x + gate1 * self.spread(h, found)
        return x + gate2 * self.mlp(torch.addcmul(shift2, self.norm2(x), 1 + scale2))


class SetTransformer(Network):
    """Set transformer (Lee et al. 2019) with adaptive norms (Peebles & Xie 2023); points x (B, channels, L) in any order, t (B,) -> like x, in the same order.

    width, depth, heads  of the transformer;  ratio  the feed-forward layers' width over it
    induced              learned points of each block, through which the others see one another
    """

    ways = {"adaln": {}, "concat": {}}

    def __init__(
        self, channels: int = 3, width: int = 256, depth: Depth = 8, heads: int = 4, induced: Annotated[int, Within(1, 4096)] = 32,
        ratio: float = 4.0, time: Kind = "sinusoidal", concat: int = 0,
    ):  # fmt: skip
        super().__init__()
        at_least(1, "set_transformer", width=width, depth=depth, heads=heads, induced=induced)
        at_least(0, "set_transformer", ratio=ratio, concat=concat)
        self.dim, self.concat = width, concat
        self.time_embedding = TimeEmbedding(width, 256, time)
        self.proj_in = linear(channels + concat, width)
        self.blocks = nn.ModuleList(InducedBlock(width, heads, induced, ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, 1e-6, elementwise_affine=False)
        self.modulation = zero(nn.Linear(width, 2 * width))
        self.proj_out = zero(nn.Linear(width, channels))

    @classmethod
    def fitting(cls, shape: Sequence[int]) -> dict[str, int]:
        if len(shape) != 2:
            points = "points in any order, (channels, points) as data.points=2048 of meshes"
            raise Usage(f"set_transformer is of {points}, not of {tuple(shape)}; choose network=dit")
        return {"channels": shape[0]}

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        context = self.accepted(context)
        emb, h = self.embedding(t, context), self.proj_in(context.beside(x).mT)
        for block in self.blocks:
            h = block(h, emb)
        shift, scale = self.modulation(F.silu(emb))[:, None].chunk(2, -1)
        return self.proj_out(torch.addcmul(shift, self.norm(h), 1 + scale)).mT
