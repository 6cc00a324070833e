"""Low-rank adapters."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import Usage, at_least
from .adapter import Adapter


class LowRank(nn.Module):
    """A change of low rank, (alpha / rank) · B A, to a weight taken as a matrix (out, in · taps); A (rank, in · taps) normal, B (out, rank) zero at first.

    No rank is above the weight's own, min(out, in · taps), which would be the same as it.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float):
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        self.scale, rank = alpha / rank, min(rank, rows, columns)
        self.A = nn.Parameter(torch.randn(rank, columns, device=weight.device) / math.sqrt(columns))
        self.B = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        return self.scale * (self.B @ self.A).view(weight.shape)


class Redirected(LowRank):
    """A change of low rank to a weight's direction, and one to its magnitude m: W' = m · (W + s B A) / ‖W + s B A‖ (Liu et al. 2024, eq. 5).

    The norms are over what one channel out is made of. m starts as ‖W‖ and is kept as the difference from it, `longer` (out,). Going back, the
    norm below the line counts as a constant, as they advise (sec. 4.3).
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float):
        super().__init__(weight, rank, alpha)
        self.longer = nn.Parameter(torch.zeros(len(weight), device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        turned = weight + super().forward(weight)
        ratio = (_norms(weight) + self.longer) / _norms(turned).detach()
        return ratio.view(-1, *[1] * (weight.ndim - 1)) * turned - weight


def _norms(weight: Tensor) -> Tensor:
    """(out, in, *taps) -> (out,), of channels that are zero next to nothing."""
    return torch.linalg.vector_norm(weight.flatten(1), dim=1).clamp_min(1e-12)


@dataclass(frozen=True, kw_only=True)
class LoRA(Adapter):
    """LoRA (Hu et al. 2022): weights change by (alpha / rank) · B A, products of two thin matrices of this rank.

    alpha over rank sets how fast they change, so that another rank needs no other learning rate.
    """

    rank: int = 8
    alpha: float = 8.0

    def __post_init__(self) -> None:
        at_least(1, "adapter", rank=self.rank)
        if not 0 < self.alpha < math.inf:
            raise Usage(f"adapter: alpha is above 0, not {self.alpha:g}")

    def change(self, weight: Tensor) -> LowRank:
        return LowRank(weight, self.rank, self.alpha)


class DoRA(LoRA):
    """DoRA (Liu et al. 2024): LoRA for the weights' directions, and a number for each channel out for their magnitudes."""

    def change(self, weight: Tensor) -> LowRank:
        return Redirected(weight, self.rank, self.alpha)
