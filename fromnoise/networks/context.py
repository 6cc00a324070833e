"""What a network may be told beside x and the clock, by the place where it enters."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..errors import Usage

# The ways into a network by their names in the field, and the place of the context that each takes. Networks name those that they have in `WAYS`.
PLACES = {"add": "vector", "adaln": "vector", "token": "tokens", "cross": "tokens", "concat": "concat"}


@dataclass(frozen=True, eq=False)
class Context:
    """The conditions of a batch, each in the place where it enters the network.

    vector     (B, D)       added to the clock's embedding, and so in every adaptive norm
    tokens     (B, L, D)    attended to, or put in the sequence
    mask       (B, L)       which tokens count
    concat     (B, C', *S)  laid beside x before the first layer
    residuals  one for each of the network's features (ControlNet)
    """

    vector: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None
    concat: Tensor | None = None
    residuals: tuple[Tensor, ...] = ()

    def cat(self, other: "Context") -> "Context":
        """Both batches one after the other, for two answers in one pass."""
        mine, theirs = vars(self), vars(other)
        joined = {k: torch.cat([mine[k], theirs[k]]) for k in mine if isinstance(mine[k], Tensor)}
        residuals = tuple(torch.cat(pair) for pair in zip(self.residuals, other.residuals, strict=True))
        return Context(**joined, residuals=residuals)

    def merged(self, other: "Context") -> "Context":
        """Two conditions of the same batch: vectors add, tokens follow one another, pictures lie side by side."""

        def both(key: str, join):
            a, b = getattr(self, key), getattr(other, key)
            return join(a, b) if a is not None and b is not None else (b if a is None else a)

        return Context(
            vector=both("vector", torch.add),
            tokens=both("tokens", lambda a, b: torch.cat([a, b], 1)),
            mask=both("mask", lambda a, b: torch.cat([a, b], 1)),
            concat=both("concat", lambda a, b: torch.cat([a, b], 1)),
            residuals=self.residuals + other.residuals,
        )

    def beside(self, x: Tensor) -> Tensor:
        """x (B, C, *S) with the picture condition's channels after its own, (B, C + C', *S); x itself where there is none."""
        return x if self.concat is None else torch.cat([x, self.concat.to(x)], 1)

    def only(self, *places: str) -> "Context":
        """Itself; raises Usage where it holds something that the network in question would overlook."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in places and value is not None and value != ():
                raise Usage(
                    f"this network takes conditions as {' or '.join(places) or 'nothing'}, not as {field.name}; choose another network"
                )
        return self


NOTHING = Context()
