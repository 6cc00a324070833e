"""Guidance swept: how much variety obedience costs, in several ways to guide and numbers of steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from ..errors import Usage
from .card import Card, Row, shown

if TYPE_CHECKING:
    from rich.table import Table


@final
@dataclass(frozen=True)
class Sweep:
    """The cards of one model's samples at rising guidance, all from the same noise; a line of them for each way to guide, by its name."""

    scales: Sequence[float]
    lines: Mapping[str, Sequence[Card]]

    @property
    def last(self) -> Card:
        """One card, for what all have in common: the protocol, and the figures of real data."""
        return [*self.lines.values()][-1][-1]

    @property
    def metrics(self) -> list[Row]:
        """The figures that are taken over all classes, as the last card has them."""
        return [row for row in self.last.rows if ": " not in row.metric]

    def values(self, metric: str) -> dict[str, list[float]]:
        """One figure at each scale, by line."""
        return {name: [card[metric].value for card in cards] for name, cards in self.lines.items()}

    def json(self) -> dict[str, Any]:
        """The sweep as plain values, to be written as JSON."""
        return {"rows": [{"way": name, "guidance": scale, "card": card.json()} for name, scale, card in self._cells()]}

    def table(self) -> "Table":
        """The sweep for a terminal."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(self.last.title), title_justify="left", caption=escape(self.last.protocol), caption_justify="left")
        table.add_column("", no_wrap=True)
        for heading in ("guidance", *(row.metric for row in self.metrics)):
            table.add_column(escape(heading), justify="right")
        for name, scale, card in self._cells():
            figures = (shown(card[row.metric].value, card[row.metric].error) for row in self.metrics)
            table.add_row(escape(name), f"{scale:g}", *figures, end_section=scale == self.scales[-1])
        table.add_row("real data", "", *(shown(row.floor, row.floor_error) for row in self.metrics))
        return table

    def _cells(self) -> list[tuple[str, float, Card]]:
        return [(name, scale, card) for name, cards in self.lines.items() for scale, card in zip(self.scales, cards, strict=True)]


def ways(walk: Mapping[str, Any], steps: Sequence[int], conditional: bool) -> dict[str, dict[str, Any]]:
    """The walks that a sweep compares, by name: as asked; or, where an interval or a weak model is named, plain guidance (CFG) and each of these.

    Every one of them at each number of steps, if any are given. A model without conditions has no CFG.
    """
    plain = dict(walk) | {"low": 0.0, "high": math.inf, "weak": None}
    low, high = (walk.get(key) for key in ("low", "high"))
    found = {"CFG": plain} if conditional else {}
    if conditional and low is not None and high is not None:
        found[f"CFG from {low:g} to {high:g}"] = plain | {"low": low, "high": high}
    if walk.get("weak") is not None:
        found["autoguidance"] = (plain if conditional else dict(walk)) | {"weak": walk["weak"]}
    if found.keys() == {"CFG"}:
        found["CFG"] = dict(walk)  # nothing to compare it with
    if not steps:
        return found
    return {f"{name}, {count} steps": own | {"steps": count} for name, own in found.items() for count in steps}


def scales(text: str, option: str = "--sweep") -> list[float]:
    """ "1,1.5,3" as [1.0, 1.5, 3.0], rising; raises Usage where it does not read so."""
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = []
    if len(found) < 2 or not all(abs(scale) < 1e6 for scale in found):
        raise Usage(f"{option} takes at least two guidance scales with commas, such as 1,1.5,2,4, not {text!r}")
    return found


def counts(text: str) -> list[int]:
    """ "5,10,20" as [5, 10, 20], rising; raises Usage where it does not read so."""
    parts = [part.strip() for part in text.split(",")]
    found = sorted({int(part) for part in parts if part.isdecimal()})
    if not all(part.isdecimal() for part in parts) or found[0] < 1:
        raise Usage(f"steps are whole numbers from 1 with commas, such as 5,10,20, not {text!r}")
    return found
