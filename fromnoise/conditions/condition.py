"""A condition: one entry of the batch, turned into a context."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import Usage
from ..networks.context import Context


class Condition(nn.Module, ABC):
    """What a sample is asked to be. forward(value of a batch) -> Context; null(n) -> the context of "nothing asked"."""

    key: str  # the entry of the batch that it reads, and the name of its argument when sampling

    def __init__(self, drop: float):
        super().__init__()
        if not 0 <= drop < 1:
            raise Usage(f"drop is the share of conditions left out in training, 0 <= drop < 1, not {drop}")
        self.drop = drop

    @abstractmethod
    def values(self, value: Any, n: int) -> Any:
        """What a user asked for, one or one per sample, checked and as a batch of n."""

    @abstractmethod
    def default(self, n: int) -> Any:
        """The values of n samples where the user asked for none: a varied lot."""

    @abstractmethod
    def forward(self, value: Any) -> Context: ...

    @abstractmethod
    def dropped(self, value: Any, chosen: Tensor) -> Any:
        """The batch's values, with "nothing asked" where chosen (B,) is true."""

    @abstractmethod
    def null(self, n: int) -> Context: ...

    def train_context(self, value: Any, generator: torch.Generator | None = None) -> Context:
        """The context of a training batch, a share `drop` of it left out."""
        if self.drop:
            chosen = torch.rand(len(value), generator=generator).lt(self.drop)
            value = self.dropped(value, chosen.to(value.device, non_blocking=True) if isinstance(value, Tensor) else chosen)
        return self(value)
