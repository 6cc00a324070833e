"""What an evaluation found: figures, each beside the same figure of real data."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    import rich.table

Cells = tuple[str, str, Sequence[str], Sequence[Sequence[str] | None]]


class Result:
    """What an evaluation found: a dataclass of figures."""

    def json(self) -> dict[str, Any]:
        """The figures as plain values, to be written as JSON."""
        return asdict(cast(Any, self))


class Table(Result):
    """Figures in rows and columns."""

    def cells(self) -> Cells:
        """(title, caption, headings, rows): the first column holds names, the others figures; None among the rows draws a line."""
        raise NotImplementedError

    def table(self) -> "rich.table.Table":
        """The figures for a terminal."""
        import rich.table
        from rich.text import Text  # a word is shown as it is, whatever console prints it

        title, caption, headings, rows = self.cells()
        made = rich.table.Table(title=Text(title, "table.title"), title_justify="left", caption=Text(caption, "table.caption"), caption_justify="left")
        for i, heading in enumerate(headings):
            made.add_column(Text(heading), justify="right" if i else "left", no_wrap=not i)
        for row in rows:
            if row is None:
                made.add_section()
            else:
                made.add_row(*map(Text, row))
        return made


@dataclass(frozen=True)
class Row:
    """One figure of n samples, and `floor`, the same figure of as many real examples: what a perfect model would reach."""

    metric: str
    value: float
    floor: float | None = None
    error: float | None = None  # a standard deviation, where the metric has one
    floor_error: float | None = None
    better: Literal["lower", "higher", "near"] = "lower"  # near: to that of real examples

    @property
    def ratio(self) -> float | None:
        """value / floor of a distance, 1 for a perfect model; None for what is no distance, and where the floor is lost in its own error."""
        if self.better != "lower" or self.floor is None or self.floor <= (self.floor_error or 0):
            return None
        return self.value / self.floor


@dataclass(frozen=True)
class Card(Table):
    """The figures of n samples, with the protocol by which they were measured and what a reader should beware of."""

    title: str
    features: str
    n: int
    reference: int
    protocol: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def __getitem__(self, metric: str) -> Row:
        """The row whose metric is, or begins with, these words."""
        found = [row for row in self.rows if row.metric == metric] or [row for row in self.rows if row.metric.startswith(metric)]
        if not found:
            raise KeyError(f"no {metric!r}; one of: {', '.join(row.metric for row in self.rows)}")
        return found[0]

    @property
    def overall(self) -> list[Row]:
        """The rows that are taken over all classes."""
        return [row for row in self.rows if ": " not in row.metric]

    def json(self) -> dict[str, Any]:
        return asdict(self) | {"rows": [asdict(row) | {"ratio": row.ratio} for row in self.rows], "notes": list(self.notes)}

    def cells(self) -> Cells:
        rows = []
        for row in self.rows:
            arrow, ratio = {"lower": "↓", "higher": "↑", "near": "≈"}[row.better], "" if row.ratio is None else f"{row.ratio:.2f}"
            rows.append((f"{row.metric} {arrow}", figure(row.value, row.error), figure(row.floor, row.floor_error), ratio))
        caption = "\n".join([self.protocol, *(f"Note: {note}" for note in self.notes)])
        return self.title, caption, ("metric", "samples", "real data", "ratio"), rows


def figure(value: float | None, error: float | None = None) -> str:
    """A figure to four digits, with its error if it has one."""
    if value is None:
        return ""
    return f"{value:.4g}" if error is None else f"{value:.3g} ± {error:.1g}"
