"""Files of numbers as signals: tables, whose columns are channels, and arrays."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import Usage, nearest
from ..sets.arrays import DAMAGE
from .header import Broken
from .metadata import METADATA, word
from .walk import Kind

TABLES = (".csv", ".tsv", ".txt")
VALUES, LABELS = ("arr_0", "x", "signals", "volumes"), ("arr_1", "label", "labels", "y")  # names of arrays in a .npz
Columns = Sequence[int | str]


def gathered(root: Path, names: list[str]) -> tuple[list[str], list[str]]:
    """(files of signals, those that describe other files) of the names."""
    about = [name for name in names if Path(name).name.lower() in METADATA]
    return [name for name in names if name not in about], about


SIGNALS = Kind((*TABLES, ".npy", ".npz"), "signals", gathered)


@dataclass(frozen=True)
class Series:
    """The signals of a file, x (N, C, L) float64; the names of their channels, () where the file has none; class numbers (N,), where it has some."""

    x: np.ndarray
    names: tuple[str, ...] = ()
    label: np.ndarray | None = None


def read(path: str, columns: Columns | None = None, decimal: str = ".") -> Series:
    """What a file holds, of the channels that are wanted alone. Raises Broken where it is no table or array of numbers, Usage where it has no such column."""
    found = table(path, columns, decimal) if path.lower().endswith(TABLES) else array(path, columns)
    if bad := np.argwhere(~np.isfinite(found.x)).tolist():
        _, channel, row = bad[0]
        name = found.names[channel] if found.names else channel
        raise Broken(f"{len(bad):,} values are NaN or infinite, the first in channel {name} at {row}: fill them in, or cut them off")
    return found


def chosen(count: int, names: Sequence[str], columns: Columns | None, setting: str = "data.columns") -> list[int]:
    """The numbers of the columns that a setting wants, all `count` where it is not said; raises Usage where there is no such column."""
    found = []
    for column in range(count) if columns is None else columns:
        here = column if isinstance(column, int) else names.index(column) if column in names else int(column) if column.isdecimal() else -1
        if not 0 <= here < count:
            known = nearest(str(column), names) if names else f"; they have no names, and are numbers from 0 to {count - 1}"
            raise Usage(f"{setting}: there is no column {column!r}{known}")
        found.append(here)
    return found


def table(path: str, columns: Columns | None, decimal: str) -> Series:
    """A table of numbers, a row a time, a column a channel, with a line of names above or none; by commas, semicolons, tabs or blanks."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Broken("it is no text in UTF-8; save it anew as csv") from error
    except OSError as error:
        raise Broken(str(error.strerror)) from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise Broken("it is empty")
    between = next((mark for mark in "\t;," if mark in lines[0][1] and mark != decimal), None)
    try:
        rows = csv.reader((line for _, line in lines), delimiter=between or ",", skipinitialspace=True)
        cells = [line.split() for _, line in lines] if between is None else list(rows)
    except csv.Error as error:
        raise Broken(f"it is no table: {error}") from error
    first, second = cells[0], cells[1] if len(cells) > 1 else cells[0]
    titled = not any(_number(cell, decimal) for cell in first) or any(
        _number(below, decimal) and cell.strip() and not _number(cell, decimal) for cell, below in zip(first, second, strict=False)
    )
    names = tuple(word(cell.strip()) or str(i) for i, cell in enumerate(first)) if titled else ()
    body, numbers = cells[titled:], [number for number, _ in lines][titled:]
    if not body:
        raise Broken("it has a line of names, and no numbers")
    if (ragged := next((i for i, row in enumerate(body) if len(row) != len(first)), None)) is not None:
        raise Broken(f"line {numbers[ragged]} has {len(body[ragged])} values, and the first {len(first)}: make them as many")
    wanted = chosen(len(first), names, columns)
    picked = [[row[i] for i in wanted] for row in body]
    if decimal == ",":
        picked = [[cell.replace(",", ".") for cell in row] for row in picked]
    try:
        x = np.array(picked).astype(np.float64)
    except ValueError as error:
        raise Broken(_no_number(picked, numbers, [names[i] if names else str(i) for i in wanted])) from error
    return Series(x.T[None], tuple(names[i] for i in wanted) if names else ())


def _number(cell: str, decimal: str) -> bool:
    try:
        float(cell.replace(decimal, "."))
    except ValueError:
        return False
    return True


def _no_number(rows: Sequence[Sequence[str]], numbers: Sequence[int], names: Sequence[str]) -> str:
    """The first cell that is no number, and the cure."""
    line, name, cell = next((line, names[i], cell) for line, row in zip(numbers, rows, strict=False) for i, cell in enumerate(row) if not _number(cell, "."))
    if _number(cell, ","):
        return f"line {line}, column {name}: {cell} has a decimal comma: set data.decimal=','"
    what = f"{word(cell)!r} is no number" if cell.strip() else "it is empty"
    return f"line {line}, column {name}: {what}: fill it in, or leave that column out by data.columns"


def loaded(path: str, words: str) -> tuple[np.ndarray, np.ndarray | None]:
    """(a .npy, or the one of a .npz that is of `words`; class numbers where that has some). Raises Broken where it holds no real numbers."""
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            x, label = file, None
        else:
            with file as arrays:
                others = [name for name in arrays.files if name not in LABELS]
                name = next((name for name in VALUES if name in others), others[0] if len(others) == 1 else None)
                if name is None:
                    raise Broken(f"it holds {', '.join(arrays.files) or 'nothing'}: call the one of {words} x")
                x, label = arrays[name], next((arrays[key] for key in LABELS if key in arrays.files), None)
    except DAMAGE as error:
        if isinstance(error, Broken):
            raise
        raise Broken("it is no plain array, or cut short: save it by np.save(path, x)") from error
    if x.dtype.kind not in "iufb":
        raise Broken(f"it holds {x.dtype}: save real numbers, complex ones as two channels")
    return x, label


def array(path: str, columns: Columns | None) -> Series:
    """A .npy, or the one of a .npz: (L,), (C, L), or several signals (N, C, L), in a .npz with class numbers (N,) or none."""
    x, label = loaded(path, SIGNALS.words)
    if not x.size or not 1 <= x.ndim <= 3:
        raise Broken(f"it is {x.shape}: save signals as (L,), (C, L) or (N, C, L)")
    x = x[(None,) * (3 - x.ndim)]
    if x.shape[1] > x.shape[2]:
        cure = "channels come first: save x.T, or several signals of one channel as x[:, None]"
        raise Broken(f"it has {x.shape[1]:,} channels of {x.shape[2]:,} samples; {cure}")
    check_labels(label, x, SIGNALS.words)
    return Series(x[:, chosen(x.shape[1], (), columns)].astype(np.float64), (), label)


def check_labels(label: np.ndarray | None, x: np.ndarray, words: str) -> None:
    """Raises Broken where there are labels that are not one for each of x (N, …)."""
    if label is not None and (label.shape != x.shape[:1] or label.dtype.kind not in "iuU"):
        raise Broken(f"its labels are {label.dtype} {label.shape}: give each of {len(x):,} {words} a number or a word")


def numbered(label: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """(the classes' names, class numbers (N,) from 0 without gaps)."""
    names, numbers = np.unique(label, return_inverse=True)
    return tuple(word(str(name)) for name in names.tolist()), numbers


def ordered(series: Series, names: Sequence[str]) -> Series:
    """The signals with their channels in this order, where they have just these names; else as they are."""
    if series.names == tuple(names) or {*series.names} != {*names} or len(series.names) != len(names):
        return series
    return replace(series, x=series.x[:, [series.names.index(name) for name in names]], names=tuple(names))
