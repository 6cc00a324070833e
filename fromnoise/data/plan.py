"""Which examples make which batch: a function of (seed, step, rank) alone, so that resuming is exact."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..draws import Draws, mixed
from ..errors import Usage


@lru_cache(maxsize=4)
def _permutation(size: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(size, generator=torch.Generator().manual_seed(mixed("epoch", seed, epoch)))


@dataclass(frozen=True)
class Plan:
    """The endless stream of shuffled epochs, cut into batches: calling it with a step gives that batch's indices, (batch,) int64.

    Epoch e is a permutation of all `size` examples; a batch may hold the end of one epoch and the start of the next, so nothing is dropped and a set smaller than a
    batch works too. Rank r of `world` takes the r-th part of the batch of batch * world examples that one process alone would take.
    """

    size: int
    batch: int
    seed: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise Usage("a plan needs at least one example; the dataset is empty")
        if self.batch < 1:
            raise Usage(f"batch must be at least 1, not {self.batch}")

    def __call__(self, step: int) -> Tensor:
        start = (step * self.world + self.rank) * self.batch
        parts, end = [], start + self.batch
        while start < end:
            epoch, offset = divmod(start, self.size)
            parts.append(_permutation(self.size, self.seed, epoch)[offset : offset + end - start])
            start += len(parts[-1])
        return torch.cat(parts)

    def draws(self, step: int) -> Draws:
        """The random numbers of this batch's examples, the same however many processes share the batch."""
        return Draws((self.seed, step), range(self.rank * self.batch, (self.rank + 1) * self.batch), self.batch * self.world)
