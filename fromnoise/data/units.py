"""What the numbers of a signal mean: the names of its channels, and how they are brought to the scale that a network learns at, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import Problem


@dataclass(frozen=True)
class Units:
    """Of each channel its name, and where 0 and 1 of what is learnt lie in its own unit: value = offset + scale · x.

    names, offset, scale  (C,); a scale is above 0
    """

    names: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def of(cls, node: Mapping[str, Any] | None) -> "Units | None":
        """As a run's recipe has them; None where it has none. Raises Problem where they are damaged."""
        if not node:
            return None
        try:
            found = cls(*(tuple(kind(value) for value in node[key]) for key, kind in (("names", str), ("offset", float), ("scale", float))))
        except (KeyError, TypeError, ValueError) as error:
            raise Problem("units of a recipe are {names: […], offset: […], scale: […]}, one of each a channel; copy them from the run again") from error
        if len({len(part) for part in (found.names, found.offset, found.scale)}) > 1 or not all(scale > 0 for scale in found.scale):
            raise Problem("units of a recipe are a name, an offset and a scale above 0 for each channel; copy them from the run again")
        return found

    def as_dict(self) -> dict[str, Any]:
        """As a recipe keeps them."""
        return {key: list(value) for key, value in asdict(self).items()}

    def normalised(self, x: Tensor) -> Tensor:
        """Values (N, C, L) in the channels' own units as a network learns them, float32."""
        return ((x.double() - self._column(self.offset)) / self._column(self.scale)).float()

    def undone(self, x: Tensor) -> Tensor:
        """What a network made, (N, C, L), in the channels' own units, float64 on the CPU."""
        return x.detach().cpu().double() * self._column(self.scale) + self._column(self.offset)

    @staticmethod
    def _column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)[:, None]


def in_own_units(x: Tensor, units: Units | None) -> Tensor:
    """Signals (N, C, L) in the units of their channels; as they are, in float64 on the CPU, where they have none."""
    return units.undone(x) if units else x.detach().cpu().double()


def channel_names(channels: int, units: Units | None) -> tuple[str, ...]:
    """The names of channels, numbers from 0 where they have none."""
    return units.names if units else tuple(map(str, range(channels)))
