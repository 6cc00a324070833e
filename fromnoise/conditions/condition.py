"""A condition: one entry of the batch, turned into a context."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..draws import Draws
from ..errors import Usage
from ..networks import Network
from ..networks.context import PLACES, Context

WIDTHS = {"tokens": "context_dim", "concat": "concat"}  # the settings of networks that say how wide each place is


@dataclass(frozen=True)
class Example:
    """What one example of the data is: the shape (C, *S) or (D,) of x, the names of the classes, the shape (C', *S) of its second picture; and
    the first stage that it goes through before it is diffused, where there is one."""

    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    image: tuple[int, ...] = ()
    autoencoder: Any = None

    @property
    def diffused(self) -> tuple[int, ...]:
        """The shape of what is diffused."""
        return self.shape if self.autoencoder is None else self.autoencoder.latent_shape(self.shape)


class Condition(nn.Module, ABC):
    """What samples are conditioned on. forward(value of a batch) -> Context; null(n) -> the context of n samples without the condition.

    drop   the share of training examples whose condition is left out, which classifier-free guidance needs (Ho & Salimans 2022)
    enter  the way into the network, one of `ways`: add (to the time embedding), adaln (the same, scaling and shifting the norms), token (put
           into the sequence), cross (cross-attention), concat (channels beside x); the first that the network has unless it is said

    A subclass sets `key` and writes `forward`, `nothing` and, where it has layers, `init_layers`; `values` where its values are no numbers.
    """

    key: str  # the entry of the batch that it reads, and the name of its argument when sampling
    ways: Sequence[str] = tuple(PLACES)  # in which it can enter, the best first
    from_data: bool = True  # whether default values are taken from held-out examples
    example_values: Any = None  # these
    freezes_rest: bool = False  # whether it alone is trained, and all the rest is a base's
    guidable: bool = True  # whether guidance leads away from samples without it; else both sides of guidance have it

    def __init__(self, drop: float = 0.1, enter: str | None = None):
        super().__init__()
        if not 0 <= drop < 1:
            raise Usage(f"drop is the share of conditions left out in training, 0 <= drop < 1, not {drop}")
        if enter is not None and enter not in self.ways:
            raise Usage(f"a {self.key} enters by {', '.join(self.ways)}, not by {enter!r}")
        self.drop, self.enter = drop, enter

    def plan(self, network: type[Network], example: Example) -> dict[str, Any]:
        """The settings of the network, not yet built, that the condition calls for; changes nothing. Raises Usage where the network has no way for it."""
        way = self.way(network)
        settings = dict(network.ways[way]) if self.enter else {}
        return settings if PLACES[way] == "vector" else {**settings, WIDTHS[PLACES[way]]: self.width(PLACES[way], example)}

    def init_layers(self, network: Network, example: Example) -> None:
        """Makes the layers; keeps the place of the context where the condition enters, and the size *S of an example."""
        self.place, self.size = PLACES[self.way(type(network))], tuple(example.diffused[1:])

    def way(self, network: type[Network]) -> str:
        """The way into a network: `enter`, or the first of `ways` that the network has."""
        both = [way for way in self.ways if way in network.ways]
        if self.enter in both or (both and self.enter is None):
            return self.enter or both[0]
        raise Usage(f"the {self.key} cannot enter {network.__name__}" + (f" by {self.enter}; it can by {', '.join(both)}" if both else ""))

    def width(self, place: str, example: Example) -> int:
        """Of its tokens (`place` tokens), or of its channels beside x (concat)."""
        raise NotImplementedError(f"{type(self).__name__} enters as {place}: give it a method width(place, example), or other ways")

    def prepare(self, data: Any) -> None:  # noqa: B027 (most need not)
        """Gets ready for a dataset, before training."""

    def networks(self) -> list[nn.Module]:
        """What it has that runs beside the network at every step, and is laid out and compiled like it."""
        return []

    @property
    def source(self) -> str:
        """The entry of the batch that its values are made of."""
        return self.key

    @property
    def lasting(self) -> bool:
        """Whether a cache of latents can hold what its values are made of, so that training needs no pictures for it."""
        return self.source in ("label", "text")

    def read(self, batch: Mapping[str, Any], draws: Draws | None = None) -> Any:
        """Its values in a batch of the data; what is chance in them comes from the draws, and is the same every time where there are none."""
        if self.source not in batch:
            raise Usage(f"the model is conditioned on {self.source!r}, which the data does not have: {', '.join(batch)}")
        return self.made(batch[self.source], draws and draws.of("condition", self.key))

    def made(self, source: Any, draws: Draws | None = None) -> Any:
        """The values that the entries of its source make; these themselves, unless it makes something of them."""
        return source

    def values(self, value: Any, n: int) -> Any:
        """The values that a user gave, one or one per sample, checked and as a batch of n; here numbers (n,)."""
        try:
            value = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError):
            raise Usage(f"a {self.key} is a number, or one for each sample, not {str(value)[:40]!r}") from None
        if value.numel() != 1 and value.shape != (n,):
            raise Usage(f"{n} samples need one {self.key} or {n} of them, not {tuple(value.shape)}")
        return value.reshape(-1).expand(n)

    def parse(self, text: str) -> Any:
        """A word of the command line as a value: numbers where they are numbers, several between commas, else the text."""
        words = [_number(word.strip()) for word in text.split(",")]
        return words if len(words) > 1 else words[0]

    def default(self, n: int) -> Any:
        """The values of n samples for which none were given: those of held-out examples in turn; None, the null condition, where there are none."""
        if self.example_values is None:
            if not self.drop:
                raise Usage(f"this model is conditioned on {self.key!r} and has no example values; give it one")
            return None
        rows = [i % len(self.example_values) for i in range(n)]
        return self.example_values[rows] if isinstance(self.example_values, Tensor) else [self.example_values[i] for i in rows]

    def picture(self, value: Any) -> Tensor | None:
        """What the values (n) look like, (n, C', *S) in [-1, 1], where they are pictures."""
        return None

    def known(self, value: Any) -> tuple[Tensor, Tensor] | None:
        """What the values (n) fix of the samples themselves, as for inpainting: (pixels (n, C, *S), 1 where they are known (n, 1, *S)); else None."""
        return None

    @abstractmethod
    def forward(self, value: Any) -> Context: ...

    @abstractmethod
    def nothing(self, n: int) -> Any:
        """The values of n samples without the condition."""

    def null(self, n: int) -> Context:
        """The context of n samples without the condition; raises Usage where that was never trained."""
        if not self.drop:
            raise Usage(f"this model never trained without its {self.key} (drop: 0), so it needs one and cannot be guided; use guidance 1")
        return self(self.nothing(n))

    def train_context(self, value: Any, draws: Draws) -> Context:
        """The context of a training batch, a share `drop` of it left out."""
        if self.drop:
            value = self.dropped(value, draws.of("drop", self.key).rand(device="cpu") < self.drop)
        return self(value)

    def dropped(self, value: Any, chosen: Tensor) -> Any:
        """The batch's values, without the condition where chosen (B,) is true."""
        nothing = self.nothing(len(value))
        if not isinstance(value, Tensor):
            return [null if gone else own for own, null, gone in zip(value, nothing, chosen.tolist(), strict=True)]
        chosen = chosen.to(value.device, non_blocking=True).reshape(-1, *[1] * (value.ndim - 1))
        return torch.where(chosen, nothing.to(value.device), value)


def placed(vector: Tensor, place: str, size: Sequence[int]) -> Context:
    """One vector (B, D) for a whole example, put in its place: as it is, as a single token, or on every position of the channels beside x."""
    if place == "concat":
        return Context(concat=vector[..., *[None] * len(size)].expand(*vector.shape, *size))
    return Context(vector=vector) if place == "vector" else Context(tokens=vector[:, None])


def _number(word: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(word)
    return word
