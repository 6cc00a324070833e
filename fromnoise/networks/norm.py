"""Group normalisation, with the scale and shift of a condition."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Usage


class GroupNorm(nn.GroupNorm):
    """Group norm (Wu & He 2018), scaled and shifted per sample where that is asked: norm(x) (1 + scale) + shift; x (B, C, *S), scale and shift (B, C).

    `groups` where they are given, else up to 32 of 4 or more channels: groups of one channel would take its mean from the network.
    """

    def __init__(self, channels: int, groups: int | None = None, eps: float = 1e-5):
        if groups is None:
            groups = next(g for g in range(max(1, min(32, channels // 4)), 0, -1) if channels % g == 0)
        if groups < 1 or channels % groups:
            raise Usage(
                f"{channels} channels do not make {groups} groups; choose groups that divide every level's channels, or leave groups out"
            )
        super().__init__(groups, channels, eps)

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:  # type: ignore[override]
        h = F.group_norm(x, self.num_groups, self.weight.to(x), self.bias.to(x), self.eps)
        if scale is None or shift is None:
            return h
        ones = [1] * (x.ndim - 2)
        return torch.addcmul(shift.reshape(*shift.shape, *ones), h, 1 + scale.reshape(*scale.shape, *ones))
