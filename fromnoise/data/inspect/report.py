"""An inspection as text for the terminal."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ... import progress
from .inspect import Inspection, inspect
from .latents import Speed
from .propose import proposals

SHOWN = 12  # classes listed by name


def report(path: str | Path, minutes: float, speed: Speed, console: Console | None = None, name: str | None = None) -> dict[str, str]:
    """Inspects `path`, prints what it holds, and returns the recipes proposed for so many minutes of training, {name: YAML}, in the order of their training.

    name: of the last one; that of the folder unless it is said.
    """
    found, console = inspect(path), console or progress.console()
    rows = Table(show_header=False, box=None, pad_edge=False)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    for question, answer in _rows(found):
        rows.add_row(question, answer)
    console.print(rows)
    for warning in found.warnings():
        console.print(f"! {warning}", style="yellow", soft_wrap=True)
    recipes = proposals(found, minutes, speed, name or found.path.stem)
    for recipe in recipes.values():
        console.print(f"\n{recipe}", soft_wrap=True, end="")
    return recipes


def _rows(found: Inspection) -> list[tuple[str, str]]:
    """What the set holds, a row for each question."""
    sizes = [f"{width}x{height}" for width, height in sorted(found.sizes.elements(), key=lambda size: size[0] * size[1])]
    (width, height), times = found.sizes.most_common(1)[0]
    ratios = sorted(width / height for width, height in found.sizes.elements())
    return [
        ("path", f"{found.path} ({found.kind})"),
        ("pictures", f"{found.count:,}" + (f" and {found.held_out:,} in a test folder" if found.held_out else "")),
        ("size", sizes[0] if len(found.sizes) == 1 else f"{sizes[0]} to {sizes[-1]}, median {sizes[len(sizes) // 2]}"),
        ("most common", f"{width}x{height}, {times / len(sizes):.0%} of them"),
        ("width/height", f"{ratios[0]:.2f} to {ratios[-1]:.2f}, median {ratios[len(ratios) // 2]:.2f}"),
        ("mode", _counted(found.modes)),
        ("bits", _counted({str(depth): n for depth, n in found.depths.items()})),
        ("values", f"{found.low:.3f} to {found.high:.3f} of full scale, mean {found.mean:.3f}"),
        ("labels", f"{len(found.labels)} classes: {_counted(found.labels)}" if found.labels else "none"),
        ("captions", f"{len(found.captions):,}, such as {found.captions[0]!r}" if found.captions else "none"),
        ("broken", str(len(found.broken))),
        ("duplicates", str(sum(len(group) - 1 for group in found.duplicates))),
        ("one colour", str(len(found.constant))),
    ]


def _counted(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name} {n:,}" for name, n in list(counts.items())[:SHOWN])
    return shown + (f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")
