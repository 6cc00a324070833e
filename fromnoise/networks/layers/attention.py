"""Attention."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ...errors import Usage
from ...registry import lookup
from .dropout import Dropout
from .embed import Rotation, linear, sincos, turned, zero
from .norm import GroupNorm


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √head) v; q (B, heads, L, head), k, v (B, heads, M, head) -> (B, L, heads · head). mask (B, M): which count; where none does, all."""
    if mask is not None:
        mask = mask.bool()
        mask = (mask | ~mask.any(1, keepdim=True))[:, None, None]
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        if q.shape[-1] >= 32:
            return _OnCPU.apply(q, k, v, mask).transpose(1, 2).flatten(2)
        with torch.autocast("cpu", enabled=False):  # thin heads are all exponentials, which float32 does as fast, on the way back faster
            return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), mask).to(v).transpose(1, 2).flatten(2)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class _OnCPU(torch.autograd.Function):
    """Attention whose way back is matrix products, a few heads at a time: PyTorch's fused kernel takes 2 to 7 times as long there in bfloat16 on a CPU."""

    SCORES = 2**19  # at a time

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.mask = None if mask is None else ~mask.expand(len(q), q.shape[1], 1, -1).flatten(0, 1)  # (B heads, 1, M): what does not count
        return F.scaled_dot_product_attention(q, k, v, mask)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: a checkpoint hands them out a single time
        q, k, v = (x.flatten(0, 1) for x in saved)
        g, scale = gradient.to(q.dtype).flatten(0, 1), q.shape[-1] ** -0.5
        to_q, to_k, to_v = (torch.empty_like(x) for x in (q, k, v))
        some = max(1, _OnCPU.SCORES // (q.shape[1] * k.shape[1]))
        for first in range(0, len(q), some):
            part = slice(first, first + some)
            scaled = q[part] * scale
            scores = torch.bmm(scaled, k[part].mT)
            shares = (scores if ctx.mask is None else scores.masked_fill_(ctx.mask[part], -torch.inf)).softmax(-1)
            to_v[part] = torch.bmm(shares.mT, g[part])
            scores = torch.ops.aten._softmax_backward_data(torch.bmm(g[part], v[part].mT), shares, -1, shares.dtype)
            to_q[part] = torch.bmm(scores, k[part]) * scale
            to_k[part] = torch.bmm(scores.mT, scaled)
        return *(x.reshape(y.shape) for x, y in zip((to_q, to_k, to_v), saved, strict=True)), None


def heads_of(x: Tensor, heads: int) -> Tensor:
    """(B, L, heads · head) -> (B, heads, L, head)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def divisor(channels: int, head: int) -> int:
    """How many heads about `head` wide the channels make: as little wider as divides them."""
    return next(n for n in range(max(1, channels // head), 0, -1) if channels % n == 0)


def query_key_norms(dim: int, heads: int, on: bool) -> list[nn.Module]:
    """Norms of the queries and keys of each head (nothing where not `on`); raises Usage where the width does not divide into the heads."""
    if heads < 1 or dim % heads:
        raise Usage(f"a width of {dim} does not divide into {heads} heads; choose a width that is a multiple of the heads")
    return [nn.RMSNorm(dim // heads) if on else nn.Identity() for _ in range(2)]


def sequence(x: Tensor, positions: bool = False) -> Tensor:
    """A feature map (B, C, *S) as a sequence (B, L, C); with `positions`, sines and cosines of where it is are added to every position."""
    h = x.flatten(2).transpose(1, 2)
    return h + sincos(tuple(x.shape[2:]), h.shape[-1], h.device).to(h) if positions else h


class Attention(nn.Module):
    """Multi-head attention of tokens (B, L, dim) (Vaswani et al. 2017); qk_norm normalises queries and keys, for bf16 and large rates (Henry et al. 2020)."""

    def __init__(self, dim: int, heads: int, qk_norm: bool = False, bias: bool = True):
        super().__init__()
        self.heads = heads
        self.qkv = linear(dim, 3 * dim, bias)
        self.out = linear(dim, dim)
        self.q_norm, self.k_norm = query_key_norms(dim, heads, qk_norm)

    def forward(self, x: Tensor, rotate: Rotation | None = None, mask: Tensor | None = None) -> Tensor:
        q, k, v = (heads_of(part, self.heads) for part in self.qkv(x).chunk(3, -1))
        q, k = self.q_norm(q).to(v), self.k_norm(k).to(v)
        if rotate is not None:
            q, k = turned(q, rotate), turned(k, rotate)
        return self.out(attend(q, k, v, mask))


class CrossAttention(nn.Module):
    """Attention of x (B, L, dim) to tokens (B, M, context_dim), such as the words of a prompt; mask (B, M): which count -> (B, L, dim)."""

    def __init__(self, dim: int, context_dim: int, heads: int, qk_norm: bool = False, bias: bool = True):
        super().__init__()
        self.heads = heads
        self.q, self.kv = linear(dim, dim, bias), linear(context_dim, 2 * dim, bias)
        self.out = linear(dim, dim)
        self.q_norm, self.k_norm = query_key_norms(dim, heads, qk_norm)

    def forward(self, x: Tensor, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        q, (k, v) = self.q(x), self.kv(tokens.to(x.dtype)).chunk(2, -1)
        q, k, v = (heads_of(part, self.heads) for part in (q, k, v))
        return self.out(attend(self.q_norm(q).to(v), self.k_norm(k).to(v), v, mask))


class SelfAttention(nn.Module):
    """Multi-head attention among all positions of a feature map, added to it (Ho et al. 2020); (B, C, *S) -> the same.

    The last layer is zero at first, so a fresh block is the identity. Heads are `head` channels wide, or as little wider as divides the channels.
    With `context_dim` > 0, tokens (B, M, context_dim) have keys and values beside those of the positions (Nichol et al. 2021); mask (B, M): which count.
    """

    def __init__(
        self, channels: int, head: int = 64, groups: int | None = None, eps: float = 1e-5, context_dim: int = 0, positions: bool = False
    ):
        super().__init__()
        self.heads, self.positions = divisor(channels, head), positions
        self.norm = GroupNorm(channels, groups, eps)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.kv = nn.Linear(context_dim, 2 * channels) if context_dim else None
        self.out = zero(nn.Linear(channels, channels))

    def forward(self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.qkv(sequence(self.norm(x), self.positions)).chunk(3, -1)
        among = None
        if self.kv is not None and tokens is not None:
            keys, values = self.kv(tokens.to(x.dtype)).chunk(2, -1)
            (k, among), v = joined(keys, mask, k), torch.cat([values, v], 1)
        q, k, v = (heads_of(part, self.heads) for part in (q, k, v))
        return x + self.out(attend(q, k.to(q), v.to(q), among)).transpose(1, 2).reshape(x.shape)


class LinearAttention(nn.Module):
    """Attention in linear time, added to a map (B, C, *S): softmax over channels of q · (softmax over positions of k · vᵀ) (Shen et al. 2021, eq. 3)."""

    def __init__(self, channels: int, heads: int = 4, head: int = 32, groups: int | None = None, eps: float = 1e-5):
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(channels, groups, eps)
        self.qkv = nn.Linear(channels, 3 * heads * head, bias=False)
        self.out = zero(nn.Linear(heads * head, channels))

    def forward(self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        q, k, v = (heads_of(part, self.heads) for part in self.qkv(sequence(self.norm(x))).chunk(3, -1))
        q = q.softmax(-1).to(v) * q.shape[-1] ** -0.5
        context = k.softmax(-2).to(v).transpose(-2, -1) @ v  # (B, heads, head, head)
        return x + self.out((q @ context).transpose(1, 2).flatten(2)).transpose(1, 2).reshape(x.shape)


@dataclass(frozen=True)
class Gated:
    """A gated linear unit, x · gate(y), of twice the channels: x beside y (Shazeer 2020)."""

    gate: Callable[[Tensor], Tensor]

    def __call__(self, h: Tensor) -> Tensor:
        x, y = h.chunk(2, -1)
        return x * self.gate(y)


Act = str | Callable[[Tensor], Tensor]  # of ACTIVATIONS, module:name, or the function itself
ACTIVATIONS: dict[str, Callable] = {"gelu": partial(F.gelu, approximate="tanh"), "swiglu": Gated(F.silu), "geglu": Gated(F.gelu)}


class FeedForward(nn.Module):
    """Two linear layers with an activation between them that is `inner` wide; (…, dim) -> the same."""

    def __init__(self, dim: int, inner: int, act: Act = "gelu", dropout: float = 0.0):
        super().__init__()
        self.act = lookup(ACTIVATIONS, act, "activation")
        self.proj_in = linear(dim, inner * (2 if isinstance(self.act, Gated) else 1))
        self.dropout = Dropout(dropout)
        self.proj_out = linear(inner, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj_out(self.dropout(self.act(self.proj_in(x))))


class CrossTransformer(nn.Module):
    """Self-attention, attention to tokens and a gated feed-forward layer on a feature map, added to it (Rombach et al. 2022, app. E.2.1).

    x (B, C, *S), tokens (B, M, context_dim), mask (B, M) -> (B, C, *S). The last layer is zero at first. Without tokens the second attention is left out.
    """

    def __init__(
        self, channels: int, context_dim: int, head: int = 64, heads: int | None = None, groups: int | None = None, positions: bool = False
    ):
        super().__init__()
        heads, self.positions = heads or divisor(channels, head), positions
        self.norm = GroupNorm(channels, groups, 1e-6)
        self.proj_in, self.proj_out = nn.Linear(channels, channels), zero(nn.Linear(channels, channels))
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.attention = Attention(channels, heads, bias=False)
        self.cross = CrossAttention(channels, context_dim, heads, bias=False)
        self.mlp = FeedForward(channels, 4 * channels, "geglu")

    def forward(self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        h = self.proj_in(sequence(self.norm(x)))
        if self.positions:
            h = h + sincos(tuple(x.shape[2:]), h.shape[-1], h.device).to(h)
        h = h + self.attention(self.norm1(h))
        if tokens is not None:
            h = h + self.cross(self.norm2(h), tokens, mask)
        return x + self.proj_out(h + self.mlp(self.norm3(h))).transpose(1, 2).reshape(x.shape)


def joined(tokens: Tensor, mask: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Tokens (B, M, D) put before x (B, L, D), and the mask of the whole sequence (B, M + L), None where all count."""
    if mask is not None:
        mask = torch.cat([mask.bool(), mask.new_ones(len(x), x.shape[1], dtype=torch.bool)], 1)
    return torch.cat([tokens.to(x.dtype), x], 1), mask
