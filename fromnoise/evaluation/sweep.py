"""Guidance swept: how much variety it costs to follow conditions, in several ways to guide and numbers of steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import Usage
from ..model import Model, Sampling
from .card import Card, Cells, Table, figure


@dataclass(frozen=True)
class Sweep(Table):
    """The cards of one model's samples at rising guidance, all from the same noise; a line of them for each way to guide, by its name."""

    scales: Sequence[float]
    lines: Mapping[str, Sequence[Card]]

    @property
    def last(self) -> Card:
        """One card, for what all have in common: the protocol, and the figures of real data."""
        return [*self.lines.values()][-1][-1]

    def values(self, metric: str) -> dict[str, list[float]]:
        """One figure at each scale, by line."""
        return {name: [card[metric].value for card in cards] for name, cards in self.lines.items()}

    def json(self) -> dict[str, Any]:
        cells = [(name, *cell) for name, cards in self.lines.items() for cell in zip(self.scales, cards, strict=True)]
        return {"rows": [{"way": name, "guidance": scale, "card": card.json()} for name, scale, card in cells]}

    def cells(self) -> Cells:
        overall, rows = self.last.overall, list[Sequence[str] | None]()
        for name, cards in self.lines.items():
            for scale, card in zip(self.scales, cards, strict=True):
                rows.append((name, f"{scale:g}", *(figure(card[row.metric].value, card[row.metric].error) for row in overall)))
            rows.append(None)
        rows.append(("real data", "", *(figure(row.floor, row.floor_error) for row in overall)))
        return self.last.title, self.last.protocol, ("", "guidance", *(row.metric for row in overall)), rows


def ways(model: Model, sampling: Sampling, steps: Sequence[int]) -> dict[str, Sampling]:
    """What a sweep compares, by name, at each number of steps if any are given: the sampling as it is; or, where it has a weak model, or an
    interval that is not the model's own, plain guidance (CFG, of a model with conditions) and each of these."""
    plain, conditional = replace(sampling, low=0.0, high=math.inf, weak=None), bool(model.conditions)
    found = {"CFG": plain} if conditional else {}
    if conditional and (sampling.low, sampling.high) != (model.sampling.low, model.sampling.high):
        found[f"CFG from {sampling.low:g} to {sampling.high:g}"] = replace(sampling, weak=None)
    if sampling.weak is not None:
        found["autoguidance"] = replace(plain, weak=sampling.weak, negative=None) if conditional else sampling
    if found.keys() == {"CFG"}:
        found["CFG"] = sampling  # nothing to compare it with
    if not steps:
        return found
    return {f"{name}, {count} steps": replace(own, steps=count) for name, own in found.items() for count in steps}


def guided_by(sampling: Sampling, scale: float) -> Sampling:
    """The sampling at a scale of guidance; at 1 there is nothing to lead away from."""
    return replace(sampling, guidance=1.0, weak=None, negative=None) if scale == 1 else replace(sampling, guidance=scale)


def parse_scales(text: str, option: str = "--sweep") -> list[float]:
    """ "1,1.5,3" as [1.0, 1.5, 3.0], rising; raises Usage where it does not read so."""
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = []
    if len(found) < 2 or not all(abs(scale) < 1e6 for scale in found):
        raise Usage(f"{option} takes at least two guidance scales with commas, such as 1,1.5,2,4, not {text!r}")
    return found


def parse_steps(text: str) -> list[int]:
    """ "5,10,20" as [5, 10, 20], rising; raises Usage where it does not read so."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts) or min(map(int, parts)) < 1:
        raise Usage(f"steps are whole numbers from 1 with commas, such as 5,10,20, not {text!r}")
    return sorted(set(map(int, parts)))
