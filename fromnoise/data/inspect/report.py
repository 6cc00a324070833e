"""An inspection as text for the terminal."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from ... import progress
from ..files.listing import holds
from ..files.sounds import SOUNDS
from ..files.walk import PICTURES
from . import sounds
from .inspect import Inspection, inspect
from .latents import Speed
from .propose import counted, proposals


def report(path: str | Path, minutes: float, speed: Speed, console: Console | None = None, name: str | None = None) -> dict[str, str]:
    """Inspects `path`, prints what it holds, and returns the recipes proposed for so many minutes of training, {name: YAML}, in the order of their training.

    name: of the last one; that of the folder unless it is said.
    """
    console = console or progress.console()
    found = sounds.inspect(path) if holds(path, SOUNDS) > holds(path, PICTURES) else inspect(path)
    rows = Table(show_header=False, box=None, pad_edge=False)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    for question, answer in found.rows() if isinstance(found, sounds.Sounding) else _rows(found):
        rows.add_row(question, answer)
    console.print(rows)
    for warning in found.warnings():
        console.print(f"! {warning}", style="yellow", soft_wrap=True)
    name = name or found.path.stem
    recipes = {name: sounds.propose(found, minutes, speed)} if isinstance(found, sounds.Sounding) else proposals(found, minutes, speed, name)
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
        ("mode", counted(found.modes)),
        ("bits", counted({str(depth): n for depth, n in found.depths.items()})),
        ("values", f"{found.low:.3f} to {found.high:.3f} of full scale, mean {found.mean:.3f}"),
        ("labels", f"{len(found.labels)} classes: {counted(found.labels)}" if found.labels else "none"),
        ("captions", f"{len(found.captions):,}, such as {found.captions[0]!r}" if found.captions else "none"),
        ("broken", str(len(found.broken))),
        ("duplicates", str(sum(len(group) - 1 for group in found.duplicates))),
        ("one colour", str(len(found.constant))),
    ]
