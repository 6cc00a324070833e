"""A folder of pictures: which files, their labels and captions, and which of them are held out."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import Problem
from ..dataset import check_left, check_split
from .pictures import ENDINGS

METADATA = ("metadata.jsonl", "metadata.csv")
HELD_OUT = ("test", "val", "valid", "validation")


@dataclass(frozen=True)
class Listing:
    """The pictures below `root` by their relative names, in order, with what is known about each."""

    root: Path
    files: tuple[str, ...]
    label: tuple[int, ...] | None = None
    text: tuple[str, ...] | None = None
    classes: tuple[str, ...] = ()
    unused: int = 0  # pictures without a row in the metadata

    def __len__(self) -> int:
        return len(self.files)

    def at(self, rows: Sequence[int]) -> "Listing":
        """Those of the pictures alone."""
        label = None if self.label is None else tuple(self.label[i] for i in rows)
        text = None if self.text is None else tuple(self.text[i] for i in rows)
        return replace(self, files=tuple(self.files[i] for i in rows), label=label, text=text)


def listed(path: str | Path, labels: bool = True, depth: int | None = None) -> Listing:
    """The pictures in the folder `path`: labels from class sub-folders or metadata, captions from metadata.

    The class sub-folders are `depth` folders down, or where the pictures' paths first differ.
    Raises Problem where there is no folder, no picture, a row of metadata without its file, or pictures beside class folders.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise Problem(f"{root}: {'a file, not a folder' if root.exists() else 'no such folder'}; set data.path to the folder that holds the pictures")
    files, metadata, others = _walk(root)
    if not files:
        found = f", only {others[0]} and the like" if others else ""
        raise Problem(f"no pictures in {root}{found}; {', '.join(ending[1:] for ending in ENDINGS)} are read, in sub-folders too")
    listing = _described(root, files, metadata) if metadata else Listing(root, tuple(files))
    if not labels:
        return replace(listing, label=None, classes=())
    return listing if listing.label is not None else _by_folder(listing, depth)


def split_listing(path: str | Path, labels: bool, split: str, held_out: float) -> tuple[Listing, Listing]:
    """(all pictures that the split's decisions rest on, those of the split).

    Folders named train and test (or val, valid, validation) are the splits where they exist; otherwise `held_out` of the files
    are the test split, chosen by a hash of their names, so that the choice is the same when files are added.
    """
    check_split(split, held_out)
    root = Path(path).expanduser()
    held = next((root / name for name in HELD_OUT if (root / name).is_dir()), None)
    if held is not None and (root / "train").is_dir():
        train = listed(root / "train", labels)
        test = listed(held, train.label is not None, _shared(train.files))
        return train, train if split == "train" else _as_in(test, train)
    whole = listed(root, labels)
    scores = [score(name) for name in whole.files]
    least = min(scores) if held_out > 0 and len(set(whole.files)) > 1 else -1  # of a small set, one picture at least
    rows = [i for i, value in enumerate(scores) if (value < held_out or value == least) == (split == "test")]
    check_left(len(rows), len(whole), split, held_out)
    return whole, whole.at(rows)


def score(name: str) -> float:
    """A number in [0, 1) that depends on a file's relative name alone."""
    written = name.encode("utf-8", "surrogateescape")  # a name that is not UTF-8 gives back its own bytes
    return int.from_bytes(hashlib.blake2b(written, digest_size=6).digest(), "big") / 2**48


def partners(listing: Listing, root: Path) -> Listing:
    """The pictures under `root` of the listing's names, but for the endings, in its order; raises Problem where one has no counterpart, or several."""
    if not root.is_dir():
        raise Problem(f"{root}: no such folder; it should hold the other picture of each pair")
    ours, theirs = (_by_name(place, _walk(place)[0]) for place in (listing.root, root))
    mine = [name for name in dict.fromkeys(listing.files) if _bare(name) not in theirs]
    other = [name for bare, name in theirs.items() if bare not in ours]
    if mine or other:
        parts = [f"{len(names)} only in {place} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
                 for names, place in ((mine, listing.root), (other, root)) if names]  # fmt: skip
        raise Problem(f"these pictures have no counterpart of the same name: {', '.join(parts)}; add what is missing, or remove them")
    return Listing(root, tuple(theirs[_bare(name)] for name in listing.files))


def _bare(name: str) -> str:
    """A file's name without its ending."""
    return name.rpartition(".")[0]


def _by_name(root: Path, files: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in files:
        if found.setdefault(_bare(name), name) != name:
            raise Problem(f"{root} holds both {found[_bare(name)]} and {name}; pairs are found by name, so keep one of them")
    return found


def _as_in(test: Listing, train: Listing) -> Listing:
    """The held-out pictures with the training set's class numbers, or with none where that has none."""
    if train.label is None:
        return replace(test, label=None, classes=())
    if test.label is None:
        cure = "sort them alike, move that folder away to hold out a share of train, or set data.labels=false"
        raise Problem(f"the pictures in {test.root} have no classes, those in {train.root} have; {cure}")
    unknown = set(test.classes) - set(train.classes)
    if unknown:
        raise Problem(f"{test.root} has the class {sorted(unknown)[0]!r}, which {train.root} has not; name the folders alike")
    return _labelled(test, [test.classes[i] for i in test.label], train.classes)


def _walk(root: Path) -> tuple[list[str], list[str], list[str]]:
    """Relative names of pictures, of metadata, and of other files; links to folders are followed once, hidden files are not seen."""
    files, metadata, others, seen = [], [], [], set()
    for home, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(home)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        place = Path(home).relative_to(root)
        for name in names:
            kind = files if name.lower().endswith(ENDINGS) else metadata if name in METADATA else others
            if not name.startswith("."):
                kind.append((place / name).as_posix())
    return sorted(files), sorted(metadata), sorted(others)


def _shared(files: Sequence[str]) -> int:
    """How many folders down the paths first differ."""
    return len(os.path.commonprefix([name.split("/")[:-1] for name in files]))


def _by_folder(listing: Listing, depth: int | None) -> Listing:
    """Labels from the sub-folders `depth` down, or below the deepest folder that holds everything; none where there are none there."""
    parts = [name.split("/") for name in listing.files]
    shared = _shared(listing.files) if depth is None else depth
    if all(len(p) == shared + 1 for p in parts):
        return listing
    loose = [name for name, p in zip(listing.files, parts, strict=True) if len(p) <= shared + 1]
    if loose:
        beside = f"{len(loose)} picture{' lies' if len(loose) == 1 else 's lie'} beside the class folders of {listing.root} ({loose[0]})"
        raise Problem(f"{beside}; move into a class folder, or set data.labels=false")
    return _labelled(listing, [p[shared] for p in parts], sorted({p[shared] for p in parts}))


def _labelled(listing: Listing, names: Sequence[Any], classes: Sequence[Any]) -> Listing:
    """The listing with the class of each picture, by name."""
    number = {name: i for i, name in enumerate(classes)}
    return replace(listing, label=tuple(number[name] for name in names), classes=tuple(map(str, classes)))


def _described(root: Path, files: list[str], metadata: list[str]) -> Listing:
    """The pictures that the metadata names, with its text and label."""
    known, rows = set(files), []
    for name in metadata:
        home = Path(name).parent
        for where, row in _rows(root / name):
            if not isinstance(row.get("file_name"), str):
                raise Problem(f'{where}: no file_name; every row needs one, as in {{"file_name": "a.png", "text": "a cat"}}')
            relative = Path(os.path.normpath(home / row["file_name"])).as_posix()
            if relative not in known and not (root / relative).is_file():
                raise Problem(f"{where}: {row['file_name']} does not exist; remove the row, or put the file there")
            rows.append((where, relative, row))
    if not rows:
        raise Problem(f"{root / metadata[0]} is empty; write a row for each picture, or remove it")
    rows.sort(key=lambda entry: entry[1])
    text, label, named = _column(rows, "text"), _column(rows, "label"), tuple(relative for _, relative, _ in rows)
    listing = Listing(root, named, text=None if text is None else tuple(map(str, text)), unused=len(known.difference(named)))
    return listing if label is None else _numbered(listing, label, rows[0][0])


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    i = 0
    try:
        with open(path, encoding="utf-8-sig", newline="") as lines:
            if path.suffix == ".csv":
                yield from _cells(path, lines)
                return
            for i, line in enumerate(lines, 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise Problem(f'{path} line {i} is no JSON object; write {{"file_name": ..., "text": ...}} on each line')
                    yield f"{path} line {i}", row
    except json.JSONDecodeError as error:
        raise Problem(f"{path} line {i}: {error.msg} in column {error.colno}; every line must be one JSON object") from error
    except UnicodeDecodeError as error:
        raise Problem(f"{path} is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise Problem(f"cannot read {path}: {error.strerror}") from error


def _cells(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a CSV, without blanks around names and values; an empty label is none."""
    rows = csv.DictReader(lines)
    try:
        for row in rows:
            cells = {key.strip(): value.strip() for key, value in row.items() if key is not None and value is not None}
            yield f"{path} line {rows.line_num}", cells | {"label": cells.get("label") or None}
    except csv.Error as error:
        raise Problem(f"{path} line {rows.reader.line_num}: {error}; look for a quote that is never closed") from error


def _column(rows: list[tuple[str, str, dict]], key: str) -> list | None:
    """The values of one column, or None where no row has it. Raises Problem where only some have."""
    values = [row.get(key) for _, _, row in rows]
    if all(value is None for value in values):
        return None
    if None in values:
        raise Problem(f"{rows[values.index(None)][0]}: no {key}, though other rows have one; give it to every row, or to none")
    return values


def _numbered(listing: Listing, label: list, where: str) -> Listing:
    """Class numbers from 0 without gaps, in the order of the labels: by value where they are whole numbers, else alphabetical."""
    if all(isinstance(value, str) and value.isascii() and value.isdigit() for value in label):  # CSV knows no numbers
        label = [int(value) for value in label]
    whole = all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in label)
    if not whole and not all(isinstance(value, str) for value in label):
        raise Problem(f"{where.rsplit(' line', 1)[0]}: labels must be all names, or all whole numbers from 0")
    return _labelled(listing, label, sorted(set(label)))
