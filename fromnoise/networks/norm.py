"""Group normalisation, with the scale and shift of a condition."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GroupNorm(nn.GroupNorm):
    """Group norm (Wu & He 2018) in up to 32 groups of 4 or more channels, scaled and shifted per sample where that is asked.

    norm(x) (1 + scale) + shift; x (B, C, *S), scale and shift (B, C). Groups of one channel would take its mean from the network.
    """

    def __init__(self, channels: int, groups: int = 32, least: int = 4):
        most = max(1, min(groups, channels // least))
        super().__init__(next(g for g in range(most, 0, -1) if channels % g == 0), channels)

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:  # type: ignore[override]
        h = F.group_norm(x, self.num_groups, self.weight.to(x), self.bias.to(x), self.eps)
        if scale is None or shift is None:
            return h
        ones = [1] * (x.ndim - 2)
        return torch.addcmul(shift.reshape(*shift.shape, *ones), h, 1 + scale.reshape(*scale.shape, *ones))
