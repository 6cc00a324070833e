"""What the numbers of a signal or volume mean: the names of its channels, and how they are brought to the scale that a network learns at, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import Problem


@dataclass(frozen=True)
class Units:
    """Of each channel its name, and where 0 and 1 of what is learnt lie in its own unit: value = offset + scale · x.

    names, offset, scale  (C,); a scale is above 0
    bounded  whether -1 and 1 are the ends of a window, which all values are held in;  spacing  mm from one value to the next along each axis, () where unknown
    given    those of the channels that are given beside x, where there are some
    """

    names: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    bounded: bool = False
    spacing: tuple[float, ...] = ()
    given: "Units | None" = None

    @classmethod
    def of(cls, node: Mapping[str, Any] | None) -> "Units | None":
        """As a run's recipe has them; None where it has none. Raises Problem where they are damaged."""
        if not node:
            return None
        try:
            offset, scale, spacing = (tuple(float(value) for value in node.get(key, ())) for key in ("offset", "scale", "spacing"))
            found = cls(tuple(map(str, node["names"])), offset, scale, bool(node.get("bounded")), spacing, cls.of(node.get("given")))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Problem("units of a recipe are {names: […], offset: […], scale: […]}, one of each a channel; copy them from the run again") from error
        if len({len(part) for part in (found.names, found.offset, found.scale)}) > 1 or not all(part > 0 for part in (*found.scale, *found.spacing)):
            raise Problem("units of a recipe are a name, an offset and a scale above 0 for each channel; copy them from the run again")
        return found

    def as_dict(self) -> dict[str, Any]:
        """As a recipe keeps them."""
        own = {key: value for key in ("names", "offset", "scale", "bounded", "spacing") if (value := getattr(self, key))}
        own = {key: value if value is True else list(value) for key, value in own.items()}
        return own | ({"given": self.given.as_dict()} if self.given else {})

    def of_channels(self, numbers: Sequence[int]) -> "Units":
        """Those of some of the channels."""
        return replace(self, **{key: tuple(getattr(self, key)[i] for i in numbers) for key in ("names", "offset", "scale")})

    def normalised(self, x: Tensor) -> Tensor:
        """Values (N, C, *S) in the channels' own units as a network learns them, float32."""
        return self.held(((x.double() - _column(self.offset, x)) / _column(self.scale, x)).float())

    def undone(self, x: Tensor) -> Tensor:
        """What a network made, (N, C, *S), in the channels' own units, float64 on the CPU."""
        return x.detach().cpu().double() * _column(self.scale, x) + _column(self.offset, x)

    def held(self, x: Tensor) -> Tensor:
        """x at the scale of a network, (N, C, *S), within the window, where there is one."""
        return x.clamp(-1, 1) if self.bounded else x


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, *[1] * (like.ndim - 2))


def in_own_units(x: Tensor, units: Units | None) -> Tensor:
    """Examples (N, C, *S) in the units of their channels; as they are, in float64 on the CPU, where they have none."""
    return units.undone(x) if units else x.detach().cpu().double()


def channel_names(channels: int, units: Units | None) -> tuple[str, ...]:
    """The names of channels, numbers from 0 where they have none."""
    return units.names if units else tuple(map(str, range(channels)))
