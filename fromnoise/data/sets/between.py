"""Two sets, one to come from and one to go to."""

from typing import Any, final

import torch
from torch import Tensor

from ...draws import mixed
from ...errors import Usage
from ..dataset import Dataset, Wrapped


@final
class Between(Wrapped):
    """The examples of `x`, each with one of another set as its source, for alpha-blending between the two (`source: paired`).

    Which source goes with which x is chance, decided by `seed`: the i-th x goes with the i-th of the sources in a random order, which begins
    again where they are fewer. Labels, captions and images are those of x. Raises Usage where the two differ in shape.
    """

    def __init__(self, x: Dataset, source: Dataset, seed: int = 0):
        if x.shape != source.shape:
            both = f"x ({x.name}) has examples of shape {x.shape}, source ({source.name}) of {source.shape}"
            raise Usage(f"data: {both}; bring the two to one shape")
        super().__init__(x)
        self.source, self.seed = source, seed
        self.keys, self.in_memory = (*x.keys, "source"), x.in_memory and source.in_memory
        self.order = torch.randperm(len(source), generator=torch.Generator().manual_seed(mixed("between", seed, len(source))))

    def take(self, indices: Tensor) -> dict[str, Any]:
        return {**self.base.take(indices), "source": self.source.take(self.order[indices % len(self.source)])["x"]}

    def to(self, device: torch.device | str) -> "Between":
        return Between(self.base.to(device), self.source.to(device), self.seed)
