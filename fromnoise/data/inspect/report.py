"""An inspection as text for the terminal."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .inspect import Inspection, inspect
from .propose import propose

SHOWN = 12  # classes listed by name


def report(path: str | Path, console: Console | None = None) -> str:
    """Inspect `path`, print what it holds, and return the proposed recipe (YAML)."""
    inspection = inspect(path)
    console = console or Console()
    console.print(table(inspection))
    for warning in inspection.warnings():
        console.print(f"! {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    recipe = propose(inspection).recipe()
    console.print()
    console.print(recipe, markup=False, highlight=False, soft_wrap=True, end="")
    return recipe


def table(found: Inspection) -> Table:
    """What the set holds, a row for each question."""
    rows = Table(show_header=False, box=None, pad_edge=False)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    for question, answer in _rows(found):
        rows.add_row(question, answer)
    return rows


def _rows(found: Inspection) -> list[tuple[str, str]]:
    sizes = sorted(found.sizes.elements(), key=lambda size: size[0] * size[1])
    common, times = found.sizes.most_common(1)[0]
    ratios = sorted(width / height for width, height in sizes)
    middle = len(sizes) // 2
    rows = [
        ("path", f"{found.path} ({found.kind})"),
        ("pictures", f"{found.count:,}" + (f" and {found.held_out:,} in a test folder" if found.held_out else "")),
        ("size", _times(common) if len(found.sizes) == 1 else f"{_times(sizes[0])} to {_times(sizes[-1])}, median {_times(sizes[middle])}"),
        ("most common", f"{_times(common)}, {times / len(sizes):.0%} of them"),
        ("width/height", f"{ratios[0]:.2f} to {ratios[-1]:.2f}, median {ratios[middle]:.2f}"),
        ("mode", _counted(found.modes)),
        ("bits", _counted({str(depth): n for depth, n in found.depths.items()})),
        ("values", f"{found.low:.3f} to {found.high:.3f} of full scale, mean {found.mean:.3f}"),
        ("labels", f"{len(found.labels)} classes: {_counted(found.labels)}" if found.labels else "none"),
        ("captions", f"{len(found.captions):,}, such as {found.captions[0]!r}" if found.captions else "none"),
        ("broken", str(len(found.broken))),
        ("duplicates", str(sum(len(group) - 1 for group in found.duplicates))),
        ("one colour", str(len(found.constant))),
    ]
    return rows


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _counted(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name} {n:,}" for name, n in list(counts.items())[:SHOWN])
    return shown + (f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")
