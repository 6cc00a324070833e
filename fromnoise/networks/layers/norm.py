"""Group normalisation, with the scale and shift of a condition, in either layout of memory."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ...errors import Usage
from .axes import laid_last


class GroupNorm(nn.GroupNorm):
    """Group norm (Wu & He 2018), scaled and shifted per sample where they are given: norm(x) (1 + scale) + shift; x (B, C, *S), scale and shift (B, C).

    `groups` where they are given, else up to 32 of 4 or more channels: groups of one channel would take its mean from the network.
    """

    def __init__(self, channels: int, groups: int | None = None, eps: float = 1e-5):
        if groups is None:
            groups = next(g for g in range(max(1, min(32, channels // 4)), 0, -1) if channels % g == 0)
        if groups < 1 or channels % groups:
            raise Usage(f"{channels} channels do not make {groups} groups; choose groups that divide every level's channels, or none")
        super().__init__(groups, channels, eps)

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:  # type: ignore[override]
        weight, bias = self.weight[None], self.bias[None]
        if scale is not None and shift is not None:
            weight, bias = weight * (1 + scale), torch.addcmul(shift, bias, 1 + scale)  # (B, C)
        if laid_last(x) and x.device.type == "cpu":
            return _ChannelsLast.apply(x, weight, bias, self.num_groups, self.eps)
        if scale is None:
            return F.group_norm(x, self.num_groups, self.weight.to(x), self.bias.to(x), self.eps)
        # the channels of all samples as those of one: the kernel then scales and shifts each sample its own way, in the same pass
        flat = x.reshape(1, len(x) * x.shape[1], *x.shape[2:])
        return F.group_norm(flat, len(x) * self.num_groups, weight.flatten().to(x), bias.flatten().to(x), self.eps).reshape(x.shape)


class _ChannelsLast(torch.autograd.Function):
    """Group norm of maps with channels last on a CPU, where PyTorch's own is ten times slower; weight and bias (1 or B, C). Sums are in float32 across rows.

    All is done with x less about its group's mean (that of every fourth row): E[x²] - E[x]² loses what the mean is larger than the deviation (Chan et al. 1983).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        z = x.permute(0, 2, 3, 1)  # (B, H, W, C), contiguous
        some, n = z[:, ::4], z[0].numel() // groups
        z = z - _row(_grouped(_sums(some), groups) * (groups / some[0].numel()), x)
        mean = _grouped(_sums(z), groups) / n
        rest = (_grouped(_sums(z * z), groups) / n - mean.square()).clamp(min=0)
        spread = torch.rsqrt(rest + eps)
        a = weight.to(spread) * spread
        ctx.save_for_backward(z, weight, mean, spread)
        ctx.groups, ctx.n, ctx.one = groups, n, len(weight) == 1 and len(x) > 1
        return torch.addcmul(_row(bias - mean * a, x), z, _row(a, x)).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        z, weight, mean, spread = ctx.saved_tensors
        g = gradient.to(z.dtype).contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        to_bias = _sums(g)
        to_weight = spread * (_sums(g * z) - mean * to_bias)
        w = weight.to(spread)
        along, within = (_grouped(w * part, ctx.groups) / ctx.n for part in (to_bias, to_weight))
        b = -spread.square() * within
        through = torch.addcmul(_row(-spread * along - b * mean, z), z, _row(b, z))
        through = torch.addcmul(through, g, _row(w * spread, z)).permute(0, 3, 1, 2)
        if ctx.one:
            to_weight, to_bias = to_weight.sum(0, keepdim=True), to_bias.sum(0, keepdim=True)
        return through, to_weight.to(weight), to_bias.to(weight), None, None


def _sums(z: Tensor) -> Tensor:
    """Over the pixels of (B, H, W, C); (B, C), at least float32."""
    return z.sum(2).to(torch.promote_types(z.dtype, torch.float32)).sum(1)


def _grouped(sums: Tensor, groups: int) -> Tensor:
    """What each channel's group sums to, for every channel; (B, C)."""
    parts = sums.unflatten(1, (groups, -1))
    return parts.sum(2, keepdim=True).expand_as(parts).flatten(1)


def _row(per_channel: Tensor, x: Tensor) -> Tensor:
    return per_channel.to(x.dtype)[:, None, None]
