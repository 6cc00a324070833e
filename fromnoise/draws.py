"""What is left to chance in a batch: random numbers that do not depend on how the batch is cut, or on how many processes share it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


def mixed(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part, so that neighbouring (seed, step) pairs share nothing."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass
class Draws:
    """The random numbers of some examples of a batch, each a function of (key, the example's place in the whole batch) alone.

    key    what they are for, such as (seed, step);  rows  the examples' places in the whole batch;  total  its size over all processes
    The numbers of the whole batch are drawn and those of `rows` kept: one generator for a batch is a thousand times cheaper than one for each
    example, and a whole batch's noise costs little beside a network. Calls on one object go on in its stream; `of` gives another stream.
    """

    key: tuple[int | str, ...]
    rows: range
    total: int
    device: torch.device = torch.device("cpu")
    _generators: dict[torch.device, torch.Generator] = field(default_factory=dict, repr=False)

    @classmethod
    def fixed(cls, n: int, seed: int = 0) -> "Draws":
        """The draws of n examples that are not trained on: the same every time."""
        return cls(("fixed", seed), range(n), n)

    def of(self, *what: int | str) -> "Draws":
        """The stream for something else: of("noise") shares nothing with of("levels")."""
        return Draws((*self.key, *what), self.rows, self.total, self.device)

    def part(self, rows: slice) -> "Draws":
        """The same stream from its beginning, for some of the examples."""
        return Draws(self.key, self.rows[rows], self.total, self.device)

    def rand(self, *shape: int, device: torch.device | str | None = None) -> Tensor:
        """Uniform in [0, 1), (rows, *shape)."""
        return self._drawn(torch.rand, (self.total, *shape), device)

    def randn(self, *shape: int, device: torch.device | str | None = None) -> Tensor:
        """Standard normal, (rows, *shape)."""
        return self._drawn(torch.randn, (self.total, *shape), device)

    def chance(self, *what: int | str) -> float:
        """One number in [0, 1) for the whole batch, however it is cut or shared: for something of it."""
        return float(Draws((*self.key, *what), range(1), 1).rand())

    def randperm(self) -> Tensor:
        """A permutation of the whole batch, (rows,) of it."""
        return self._drawn(torch.randperm, self.total)

    def _drawn(self, draw: Callable[..., Tensor], size: int | tuple[int, ...], device: torch.device | str | None = None) -> Tensor:
        device = torch.device(device or self.device)
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(mixed(*self.key))
        return draw(size, generator=self._generators[device], device=device)[self.rows.start : self.rows.stop]
