"""Class labels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import Usage
from ..networks.context import Context
from .condition import Condition


class Label(Condition):
    """A class number, as a learned vector that is added to the clock's embedding; value (B,) int64 -> Context(vector (B, dim)).

    With `drop` > 0 that share of the labels is replaced by "no label" in training, which has a vector of its own: that is what
    classifier-free guidance needs (Ho & Salimans 2022). With drop = 0 there is none, and sampling needs a label.
    """

    key = "label"

    def __init__(self, dim: int, classes: int, drop: float = 0.1):
        super().__init__(drop)
        self.classes = classes
        self.embed = nn.Embedding(classes + (drop > 0), dim)

    def values(self, value: int | Sequence[int] | Tensor, n: int) -> Tensor:
        value = torch.as_tensor(value)
        if value.is_floating_point() or value.dtype == torch.bool:
            raise Usage(f"a label is a class number from 0 to {self.classes - 1}, not {value.flatten()[:3].tolist()}")
        value = value.long().expand(n) if value.ndim == 0 or len(value) == 1 else value.long()
        if value.shape != (n,):
            raise Usage(f"{n} samples need one label or {n} of them, not {tuple(value.shape)}")
        if len(value) and not 0 <= int(value.min()) <= int(value.max()) < self.classes:
            raise Usage(
                f"label {int(value.max() if value.max() >= self.classes else value.min())} is out of range: this model knows 0 to {self.classes - 1}"
            )
        return value

    def default(self, n: int) -> Tensor:
        """Every class in turn."""
        return torch.arange(n) % self.classes

    def forward(self, value: Tensor) -> Context:
        return Context(vector=self.embed(value.to(self.embed.weight.device)))

    def dropped(self, value: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen, self.classes, value)

    def null(self, n: int) -> Context:
        if not self.drop:
            raise Usage("this model never trained without its label (drop: 0), so it needs one and cannot be guided; use guidance 1")
        return self(torch.full((n,), self.classes, device=self.embed.weight.device))
