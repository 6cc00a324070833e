"""The average of the weights that sampling uses: a moving one, or the one that an optimizer keeps itself."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Average(ABC):
    """The average of the weights: it is saved, evaluated and sampled, and training goes on with the weights themselves."""

    def update(self, parameters: Sequence[Tensor], images: int) -> None:  # noqa: B027 (nothing, where the optimizer does it)
        """Takes in the weights as they are after `images` images in all; again for the same count, nothing changes."""

    def state(self) -> dict[str, Any]:
        """What `restore` takes back."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Goes on from `state`."""

    @abstractmethod
    def put(self, parameters: Sequence[Tensor]) -> None:
        """Writes the average into the parameters."""

    @contextmanager
    def applied(self, parameters: Sequence[Tensor]) -> Iterator[None]:
        """Within it the parameters hold the average; afterwards their own values again, bit for bit."""
        own = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            self.put(parameters)
            try:
                yield
            finally:
                torch._foreach_copy_(list(parameters), own)


class Optimizers(Average):
    """What a schedule-free optimizer averages itself: its `eval()` writes that into the parameters, and `train()` goes on (Defazio et al. 2024)."""

    def __init__(self, optimizer: Any):
        self.optimizer = optimizer
        optimizer.train()

    def put(self, parameters: Sequence[Tensor]) -> None:
        self.optimizer.eval()
        averages = [p.detach().clone() for p in parameters]
        self.optimizer.train()
        torch._foreach_copy_(list(parameters), averages)


class EMA(Average):
    """An exponential moving average of weights, its half-life counted in images.

    average <- average + (1 - 2^(-n / h)) (weights - average), n the images since the last update, h = min(half_life, warmup · images seen):
    the warm-up lets the average follow while it is young (Karras et al. 2022), and makes its length scale with a short run.
    """

    def __init__(self, parameters: Sequence[Tensor], half_life: float = 500_000, warmup: float = 0.05):
        self.half_life, self.warmup, self.seen = half_life, warmup, 0
        self.average = [p.detach().clone() for p in parameters]

    def update(self, parameters: Sequence[Tensor], images: int) -> None:
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

    def put(self, parameters: Sequence[Tensor]) -> None:
        torch._foreach_copy_(list(parameters), self.average)
