"""A condition: one entry of the batch, turned into a context."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import Usage
from ..networks.context import PLACES, Context

WAYS = tuple(PLACES)


class Condition(nn.Module, ABC):
    """What a sample is asked to be. forward(value of a batch) -> Context; null(n) -> the context of "nothing asked".

    drop   the share of training examples that are asked nothing, which is what classifier-free guidance needs (Ho & Salimans 2022)
    enter  the way into the network, one of `ways`: add (to the clock's embedding), adaln (the same, scaling and shifting the norms), token (put
           into the sequence), cross (attended to), concat (channels beside x); the first that the network has unless it is said
    """

    key: str  # the entry of the batch that it reads, and the name of its argument when sampling
    ways: Sequence[str] = WAYS  # in which it can enter, the best first
    from_data: bool = True  # whether a varied lot is taken from held-out examples
    examples: Any = None  # these
    alone: bool = False  # whether it alone is trained, and all the rest is a base's
    guides: bool = True  # whether guidance leads away from where it is not asked; else both of guidance's answers hear it

    def __init__(self, drop: float, enter: str | None = None):
        super().__init__()
        if not 0 <= drop < 1:
            raise Usage(f"drop is the share of conditions left out in training, 0 <= drop < 1, not {drop}")
        if enter is not None and enter not in self.ways:
            raise Usage(f"a {self.key} enters by {', '.join(self.ways)}, not by {enter!r}")
        self.drop, self.enter = drop, enter

    @staticmethod
    def completed(node: Mapping[str, Any], shape: Sequence[int], classes: Sequence[str]) -> dict[str, Any]:
        """The settings, with those that the data calls for: examples of this shape, classes of these names."""
        return dict(node)

    def enters(self, network: str, ways: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Settles the way in, and says which settings it calls for in the network; raises Usage where that has no such way."""
        both = [way for way in self.ways if way in ways]
        if self.enter not in (*both, None) or not both:
            raise Usage(f"a {self.key} cannot enter {network}" + (f" by {self.enter}; it can by {', '.join(both)}" if both else ""))
        self.place = PLACES[self.enter or both[0]]
        called = {} if self.place == "vector" else {"context_dim" if self.place == "tokens" else self.place: self.width()}
        return {**(ways[self.enter] if self.enter else {}), **called}

    @abstractmethod
    def width(self) -> int:
        """Of its tokens, or of its channels beside x, by its `place`."""

    @abstractmethod
    def settle(self, dim: int, shape: Sequence[int]) -> None:
        """Makes what depends on the network: vectors are `dim` wide, examples (C, *S)."""

    def prepare(self, data: Any) -> None:  # noqa: B027 (nothing, unless there is something to gain)
        """Told before training which dataset will be read."""

    def join(self, network: nn.Module) -> None:
        """Takes what it needs of the network itself, once that has the weights that training begins with."""

    def networks(self) -> list[nn.Module]:
        """What it has that runs beside the network at every step, and is laid out and compiled like it."""
        return []

    @property
    def source(self) -> str:
        """The entry of the batch that its values are made of."""
        return self.key

    def read(self, batch: Mapping[str, Any], generator: torch.Generator | None = None) -> Any:
        """Its values in a batch of the data; what is chance in them comes from the generator, from a fixed one where there is none."""
        if self.source not in batch:
            raise Usage(f"the model is conditioned on {self.source!r}, which the data does not have: {', '.join(batch)}")
        return batch[self.source]

    @abstractmethod
    def values(self, value: Any, n: int) -> Any:
        """What a user asked for, one or one per sample, checked and as a batch of n."""

    def default(self, n: int) -> Any:
        """The values of n samples where the user asked for none: a varied lot of held-out ones; None, which asks nothing, where none are known."""
        if self.examples is None and not self.drop:
            raise Usage(f"this model is conditioned on {self.key!r} and remembers no examples; give it one")
        if self.examples is None:
            return None
        rows = [i % len(self.examples) for i in range(n)]
        return self.examples[rows] if isinstance(self.examples, Tensor) else [self.examples[i] for i in rows]

    def picture(self, value: Any) -> Tensor | None:
        """What the values (n) look like, (n, C', *S) in [-1, 1], where they are pictures."""
        return None

    def known(self, value: Any) -> tuple[Tensor, Tensor] | None:
        """What the values (n) say outright of the samples: (given (n, C, *S), 1 where it counts (n, 1, *S)), where they do."""
        return None

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


def placed(vector: Tensor, place: str, size: Sequence[int]) -> Context:
    """One vector (B, D) for a whole example, put in its place: as it is, as a single token, or on every position of the channels beside x."""
    if place == "concat":
        return Context(concat=vector[..., *[None] * len(size)].expand(*vector.shape, *size))
    return Context(vector=vector) if place == "vector" else Context(tokens=vector[:, None])
