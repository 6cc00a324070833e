"""An inspection as text for the terminal, and what inspects which kind of files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile, ZipFile

import numpy as np
from rich.console import Console
from rich.table import Table

from ... import progress
from ...errors import Problem
from ..files.films import CLIPS
from ..files.lines import TEXTS
from ..files.listing import holds
from ..files.meshes import MESHES
from ..files.scans import NIFTI, VOLUMES, are_volumes
from ..files.series import DAMAGE, SIGNALS, VALUES
from ..files.sounds import SOUNDS
from ..files.walk import PICTURES, Kind, walk
from . import clips, inspect, meshes, propose, signals, sounds, texts, volumes
from .latents import Speed
from .mixed import among


class Found(Protocol):
    """What an inspection found."""

    path: Path

    def rows(self) -> list[tuple[str, str]]:
        """What there is, a row for each question."""
        ...

    def warnings(self) -> list[str]:
        """What to check before training, one line each."""
        ...


@dataclass(frozen=True)
class Inspector:
    """inspect(path) -> what is there; proposals(that, minutes, speed, name) -> the recipes that suit it, {name: YAML}, in the order of their training."""

    inspect: Callable[[str | Path], Any]
    proposals: Callable[[Any, float, Speed, str], dict[str, str]]


INSPECTORS: dict[Kind, Inspector] = {
    PICTURES: Inspector(inspect.inspect, propose.proposals), SOUNDS: Inspector(sounds.inspect, sounds.proposals),
    TEXTS: Inspector(texts.inspect, texts.proposals), MESHES: Inspector(meshes.inspect, meshes.proposals),
    CLIPS: Inspector(clips.inspect, clips.proposals), VOLUMES: Inspector(volumes.inspect, volumes.proposals),
    SIGNALS: Inspector(signals.inspect, signals.proposals),
}  # fmt: skip


def inspector_of(path: str | Path) -> Inspector:
    """What inspects what lies at a path: a file by its ending, a folder by the files that it holds most of; pictures where that says nothing."""
    root = Path(path).expanduser()
    if not root.exists():
        raise Problem(f"{root}: no such file or folder; name the one that holds your data")
    if root.is_file():
        by_name = next((kind for kind in INSPECTORS if root.name.lower().endswith(kind.endings)), PICTURES)
        arrays = {VOLUMES: are_volumes, SIGNALS: _has_signals, MESHES: _has_grids} if root.suffix.lower() in (".npy", ".npz") else {by_name: Path.is_file}
        kind = next((kind for kind, is_such in arrays.items() if is_such(root)), PICTURES)
    else:
        there = among(root)  # frames of a film are pictures too
        counts = {kind: holds(root, kind) for kind in INSPECTORS} | {PICTURES: there.pictures, CLIPS: there.files, VOLUMES: _scans(root)}
        kind = max(counts, key=counts.__getitem__)  # the first of several
    return INSPECTORS[kind]


def _scans(root: Path) -> int:
    """How many files of volumes are in a folder: of arrays, which may be signals too, the first decides."""
    files = walk(root, kind=VOLUMES).files
    arrays = [name for name in files if not name.lower().endswith(NIFTI)]
    return len(files) - (0 if arrays and are_volumes(root / arrays[0]) else len(arrays))


def _has_grids(path: Path) -> bool:
    """Whether an .npz holds no array without a name, as one of pictures does."""
    try:
        return path.suffix == ".npz" and "arr_0.npy" not in ZipFile(path).namelist()
    except (OSError, BadZipFile):
        return False


def _has_signals(path: Path) -> bool:
    """Whether a .npy or .npz holds signals, by the name of its array or, where that is the usual one, by its axes, which pictures have more of."""
    try:
        if path.suffix.lower() == ".npy":
            return True
        with np.load(path, allow_pickle=False) as arrays:
            name = next((name for name in VALUES if name in arrays.files), None)
            return name is not None and (name != "arr_0" or arrays[name].ndim < 4)
    except DAMAGE:
        return False


def report(path: str | Path, minutes: float, speed: Speed, console: Console | None = None, name: str | None = None) -> dict[str, str]:
    """Inspects `path`, prints what it holds, and returns the recipes proposed for so many minutes of training, {name: YAML}, in the order of their training.

    name: of the last one; that of the folder unless it is said.
    """
    console, inspector = console or progress.console(), inspector_of(path)
    found: Found = inspector.inspect(path)
    rows = Table(show_header=False, box=None, pad_edge=False)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    for question, answer in found.rows():
        rows.add_row(question, answer)
    console.print(rows)
    for warning in found.warnings():
        console.print(f"! {warning}", style="yellow", soft_wrap=True)
    recipes = inspector.proposals(found, minutes, speed, name or found.path.stem)
    for recipe in recipes.values():
        console.print(f"\n{recipe}", soft_wrap=True, end="")
    return recipes
