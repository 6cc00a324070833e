"""Class labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import Usage
from ..networks.context import Context
from .condition import Condition, placed

WIDTHS = {"tokens": 256, "concat": 4}


class Label(Condition):
    """A class number, as a learned vector that enters in any way; value (B,) int64 -> Context, such as (vector (B, dim)).

    With `drop` > 0 that share of the labels is replaced by "no label" in training, which has a vector of its own. With drop = 0 there is none,
    and sampling needs a label. wide: how wide the token is, or how many channels lie beside x.
    """

    key = "label"
    from_data = False
    ways = ("adaln", "add", "token", "cross", "concat")

    def __init__(self, classes: int | None = None, drop: float = 0.1, enter: str | None = None, wide: int | None = None):
        super().__init__(drop, enter)
        self.classes, self.wide = classes, wide

    @staticmethod
    def completed(node: Mapping[str, Any], shape: Sequence[int], classes: Sequence[str]) -> dict[str, Any]:
        asked = node.get("classes", len(classes))
        if not classes and "classes" not in node:
            raise Usage(
                "the model is conditioned on labels, and the data has none; remove the condition, or put the examples in class folders"
            )
        if isinstance(asked, int) and asked < len(classes):
            raise Usage(f"conditions label: classes is {asked}, but the data has {len(classes)}; leave it out")
        return {**node, "classes": asked}

    def width(self) -> int:
        return self.wide or WIDTHS[self.place]

    def settle(self, dim: int, shape: Sequence[int]) -> None:
        self.size = tuple(shape[1:])
        self.embed = nn.Embedding(self.classes + (self.drop > 0), dim if self.place == "vector" else self.width())

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
        """Every class in turn; those of the remembered examples, where other conditions ask what these do."""
        return torch.arange(n) % self.classes if self.examples is None else super().default(n)

    def forward(self, value: Tensor) -> Context:
        return placed(self.embed(value.to(self.embed.weight.device)), self.place, self.size)

    def dropped(self, value: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen, self.classes, value)

    def null(self, n: int) -> Context:
        if not self.drop:
            raise Usage("this model never trained without its label (drop: 0), so it needs one and cannot be guided; use guidance 1")
        return self(torch.full((n,), self.classes, device=self.embed.weight.device))
