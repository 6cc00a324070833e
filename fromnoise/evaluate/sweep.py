"""Guidance swept: how much variety obedience costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from ..errors import Usage
from .card import Card, Row, shown

if TYPE_CHECKING:
    from rich.table import Table


@final
@dataclass(frozen=True)
class Sweep:
    """The cards of one model's samples at rising guidance, all from the same noise."""

    scales: Sequence[float]
    cards: Sequence[Card]

    @property
    def metrics(self) -> list[Row]:
        """The figures that are taken over all classes, as the last card has them."""
        return [row for row in self.cards[-1].rows if ": " not in row.metric]

    def values(self, metric: str) -> list[float]:
        """One figure at each scale."""
        return [card[metric].value for card in self.cards]

    def json(self) -> dict[str, Any]:
        """The sweep as plain values, to be written as JSON."""
        return {"rows": [{"guidance": scale, "card": card.json()} for scale, card in zip(self.scales, self.cards, strict=True)]}

    def table(self) -> "Table":
        """The sweep for a terminal."""
        from rich.markup import escape
        from rich.table import Table

        last = self.cards[-1]
        table = Table(title=escape(last.title), title_justify="left", caption=escape(last.protocol), caption_justify="left")
        for heading in ("guidance", *(row.metric for row in self.metrics)):
            table.add_column(escape(heading), justify="right")
        for scale, card in zip(self.scales, self.cards, strict=True):
            table.add_row(f"{scale:g}", *(shown(card[row.metric].value, card[row.metric].error) for row in self.metrics))
        table.add_row("real data", *(shown(row.floor, row.floor_error) for row in self.metrics))
        return table


def scales(text: str) -> list[float]:
    """ "1,1.5,3" as [1.0, 1.5, 3.0], rising; raises Usage where it does not read so."""
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = []
    if len(found) < 2 or not all(abs(scale) < 1e6 for scale in found):
        raise Usage(f"--sweep takes at least two guidance scales with commas, such as 1,1.5,2,4, not {text!r}")
    return found
