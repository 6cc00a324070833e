"""The moving average of the weights that sampling uses."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class EMA:
    """An exponential moving average of weights, its half-life counted in images.

    average <- average + (1 - 2^(-n / h)) (weights - average), n the images since the last update, h = min(half_life, warmup · images seen):
    the warm-up lets the average follow while it is young (Karras et al. 2022), and makes its length scale with a short run.
    """

    def __init__(self, parameters: Sequence[Tensor], half_life: float = 500_000, warmup: float = 0.05):
        self.half_life, self.warmup, self.seen = half_life, warmup, 0
        self.average = [p.detach().clone() for p in parameters]

    def update(self, parameters: Sequence[Tensor], images: int) -> None:
        """Takes in the weights as they are after `images` images in all; again for the same count, nothing changes."""
        half_life, new = min(self.half_life, self.warmup * images), images - self.seen
        if not new:
            return
        self.seen = images
        share = 1 - 0.5 ** (new / half_life) if half_life > 0 else 1.0
        torch._foreach_lerp_(self.average, [p.detach() for p in parameters], share)

    def state(self) -> dict[str, Any]:
        return {"average": self.average, "seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        torch._foreach_copy_(self.average, [tensor.to(self.average[0].device) for tensor in state["average"]])
        self.seen = state["seen"]

    @contextmanager
    def applied(self, parameters: Sequence[Tensor]) -> Iterator[None]:
        """Within it the parameters hold the average; afterwards their own values again."""
        own = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            torch._foreach_copy_(list(parameters), self.average)
            try:
                yield
            finally:
                torch._foreach_copy_(list(parameters), own)
