"""A folder of pictures: which files, their labels and captions, which of them are held out, and what is left out."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import Problem
from ..dataset import check_left, check_split
from .metadata import ANNOTATIONS, Row, bare, beside, column, described, word
from .walk import NAMED, PICTURES, Kind, line, metadata_of, unread, walk

TRAIN, HELD_OUT = ("train", "training"), ("test", "testing", "val", "valid", "validation", "eval", "dev")  # folders that are splits, the best first
YEAR = re.compile(r"[-_ ]?(19|20)\d\d$")  # after such a name, as in train2017
WITHIN = "folders within class folders are no classes of their own"


@dataclass(frozen=True)
class Listing:
    """The pictures below `root` by their relative names, in order, with what is known about each; `left_out`, what lies there and is not used, in words."""

    root: Path
    files: tuple[str, ...]
    label: tuple[int, ...] | None = None
    text: tuple[str, ...] | None = None
    classes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    @property
    def folder(self) -> str:
        """The one sub-folder that all lie in, "" where there is none."""
        return word(os.path.basename("/".join(os.path.commonprefix([name.split("/")[:-1] for name in self.files]))))

    def of_class(self, name: str | int) -> "Listing":
        """The same pictures, all of one class."""
        return replace(self, label=(0,) * len(self), classes=(word(str(name)),))

    def at(self, rows: Sequence[int]) -> "Listing":
        """Those of the pictures alone."""
        label = None if self.label is None else tuple(self.label[i] for i in rows)
        text = None if self.text is None else tuple(self.text[i] for i in rows)
        return replace(self, files=tuple(self.files[i] for i in rows), label=label, text=text)


def listed(path: str | Path, labels: bool = True, depth: int | None = None, above: Sequence[str] = (), kind: Kind = PICTURES) -> Listing:
    """The pictures (or files of another kind) in the folder `path`: labels from class sub-folders or metadata, captions from metadata or texts beside the pictures.

    The class sub-folders are `depth` folders down, or where the pictures' paths first differ. `above`: metadata that lies in a folder above.
    Raises Problem where there is no folder, no picture, a row of metadata without its file, or pictures beside class folders.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise Problem(f"{root}: {'a file, not a folder' if root.exists() else 'no such folder'}; set data.path to the folder that holds the {kind.words}")
    found = walk(root, kind=kind)
    if not found.files:
        there = (f", only {found.others[0]} and the like" if found.others else "") + "".join(f"; {line}" for line in found.unseen)
        raise Problem(f"no {kind.words} in {root}{there}; {kind.reads} are read, in sub-folders too")
    listing, others = Listing(root, tuple(found.files)), found.others
    if metadata := found.metadata or above:
        listing = _with_rows(listing, *described(root, found.files, metadata), os.path.basename(metadata[0]))
    if above and found.metadata:
        listing = replace(listing, left_out=(*listing.left_out, f"{os.path.basename(above[0])} above, since there is one in {root.name}"))
    if listing.text is None and 2 * len(found.texts) >= len(found.files):
        text = beside(root, listing.files, found.texts)
        without = line(text.count(""), f"{kind.words} have no words beside them: their caption is empty")
        listing = replace(listing, text=text, left_out=(*listing.left_out, *without))
    elif listing.text is None:
        few = line(len(found.texts), f"texts beside {kind.words} are not taken for captions, since most {kind.words} have none")
        listing = replace(listing, left_out=(*listing.left_out, *few))
    else:
        others = [*others, *found.texts.values()]
    listing = replace(listing, left_out=(*listing.left_out, *unread(others, kind), *found.unseen))
    if not labels:
        return replace(listing, label=None, classes=())
    return listing if listing.label is not None else _by_folder(listing, depth, kind)


def holds(path: str | Path, kind: Kind) -> int:
    """How many files of a kind are below a folder; 0 where there is none."""
    root = Path(path).expanduser()
    return len(walk(root, kind=kind).files) if root.is_dir() else 0


def split_listing(path: str | Path, labels: bool, split: str, held_out: float, kind: Kind = PICTURES) -> tuple[Listing, Listing]:
    """(all pictures that the split's decisions rest on, those of the split).

    Folders named train and test (or training, testing, val, valid, validation, eval, dev, in any case, with a year or without) are the splits
    where they exist, in `path` or in the one folder below it that holds all pictures, or in every class folder; otherwise `held_out` of the files are the test
    split, chosen by a hash of their names, so that the choice is the same when files are added.
    """
    check_split(split, held_out)
    root = Path(path).expanduser()
    if splits := _splits(root, kind):
        home, held = splits
        train = listed(home, labels, above=_above(root, home), kind=kind)
        test = listed(held, train.label is not None, _shared(train.files), _above(root, held), kind)
        used = [os.path.normpath(place / name) for place in splits for name in _above(root, place)]
        train = replace(train, left_out=(*train.left_out, *(f"{held.name}: {line}" for line in test.left_out), *outside(root, splits, used, kind)))
        return train, train if split == "train" else _as_in(test, train)
    whole = listed(root, labels, kind=kind)
    if inner := _inner_splits(whole):
        whole = replace(whole, left_out=tuple(line for line in whole.left_out if WITHIN not in line))
        return whole, whole.at([i for i, names in enumerate(inner) if names == (TRAIN if split == "train" else HELD_OUT)])
    return divided(whole, split, held_out)


def parts_of(root: Path, labels: bool, split: str, held_out: float, kind: Kind) -> tuple[Listing, Listing, Listing]:
    """(all files, those that are trained on, those of the split); one file alone, by its path or in a folder, is all three."""
    if root.is_file():
        if not root.name.lower().endswith(kind.endings):
            raise Problem(f"{root.name} is no file of {kind.words}; {kind.reads} are read")
        return (Listing(root.parent, (root.name,)),) * 3
    whole, learnt = split_listing(root, labels, "train", 0.0, kind)
    if len(whole) == 1:
        return whole, whole, whole
    whole, learnt = split_listing(root, labels, "train", held_out, kind)
    return whole, learnt, learnt if split == "train" else split_listing(root, labels, split, held_out, kind)[1]


def _inner_splits(whole: Listing) -> list[tuple[str, ...]]:
    """TRAIN or HELD_OUT for each file, where all of them lie in folders of such names within class folders, as ModelNet's do, and both occur; else []."""
    depth = _shared(whole.files) + 1
    names = [YEAR.sub("", (name.split("/")[:-1][depth:] or [""])[0].lower()) for name in whole.files]
    found = [next((kind for kind in (TRAIN, HELD_OUT) if name in kind), ()) for name in names]
    return found if {*found} == {TRAIN, HELD_OUT} else []


def outside(root: Path, homes: tuple[Path, Path], used: Collection[str] = (), kind: Kind = PICTURES) -> list[str]:
    """What lies below `root` in neither of two folders, in words, but for the files in use."""
    found = walk(root, homes, kind)
    words = f"{kind.words} are neither in {homes[0].name} nor in {homes[1].name}"
    idle = line(len(found.files), words, dict.fromkeys(n.split("/")[0] for n in found.files))
    others = [name for name in (*found.others, *found.metadata, *found.texts.values()) if os.path.normpath(root / name) not in used]
    return idle + unread(others, kind) + found.unseen


def divided(whole: Listing, split: str, held_out: float) -> tuple[Listing, Listing]:
    """(all pictures, with the classes named that are held out whole; those of the split)."""
    scores = [score(name) for name in whole.files]
    least = min(scores) if held_out > 0 and len(set(whole.files)) > 1 else -1  # of a small set, one picture at least
    held_rows = [value < held_out or value == least for value in scores]
    rows = [i for i, held_back in enumerate(held_rows) if held_back == (split == "test")]
    check_left(len(rows), len(whole), split, held_out)
    if whole.label is not None:
        trained = {label for label, held_back in zip(whole.label, held_rows, strict=True) if not held_back}
        without = [name for i, name in enumerate(whole.classes) if i not in trained]
        whole = replace(whole, left_out=(*whole.left_out, *line(len(without), "classes are held out whole, and not trained on", without)))
    return whole, whole.at(rows)


def _splits(root: Path, kind: Kind) -> tuple[Path, Path] | None:
    """The folders of training and held-out pictures, where there are both; else those in the one folder that all pictures lie in."""
    if not root.is_dir():
        return None
    folders = {entry.name: entry for entry in sorted(root.iterdir(), reverse=True) if entry.is_dir()}
    known = {YEAR.sub("", name.lower()): entry for name, entry in folders.items()} | {name.lower(): entry for name, entry in folders.items()} | folders
    train, held = (next((known[name] for name in names if name in known), None) for names in (TRAIN, HELD_OUT))
    if train and held:
        return train, held
    files = walk(root, kind=kind).files
    return _splits(root.joinpath(*files[0].split("/")[: _shared(files)]), kind) if files and _shared(files) else None


def _above(root: Path, home: Path) -> list[str]:
    """The metadata nearest above a split's folder, by its name relative to that; of several annotations, those that are named after the split."""
    for place in home.parents[: len(home.relative_to(root).parts)]:
        annotations = place / ANNOTATIONS
        names = [place / name for name in metadata_of(place, os.listdir(place))]
        names = names or [annotations / name for name in metadata_of(annotations, os.listdir(annotations) if annotations.is_dir() else ())]
        if names:
            return [os.path.relpath(name, home) for name in [name for name in names if home.name.lower() in name.name.lower()] or names]
    return []


def score(name: str) -> float:
    """A number in [0, 1) that depends on a file's relative name alone, in whatever Unicode form."""
    written = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")  # a name that is not UTF-8 gives back its own bytes
    return int.from_bytes(hashlib.blake2b(written, digest_size=6).digest(), "big") / 2**48


def partners(listing: Listing, root: Path) -> Listing:
    """The pictures under `root` of the listing's names, but for the endings, in its order; raises Problem where one has no counterpart, or several."""
    if not root.is_dir():
        raise Problem(f"{root}: no such folder; it should hold the other picture of each pair")
    found = walk(root)
    ours, theirs = _by_name(listing.root, walk(listing.root).files), _by_name(root, found.files)
    mine = [name for name in dict.fromkeys(listing.files) if bare(name) not in theirs]
    other = [name for stem, name in theirs.items() if stem not in ours]
    if mine or other:
        parts = [f"{len(names)} only in {place} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
                 for names, place in ((mine, listing.root), (other, root)) if names]  # fmt: skip
        raise Problem(f"these pictures have no counterpart of the same name: {', '.join(parts)}; add what is missing, or remove them")
    unused = unread([*found.others, *found.metadata, *found.texts.values()]) + found.unseen
    return Listing(root, tuple(theirs[bare(name)] for name in listing.files), left_out=tuple(f"{root.name}: {line}" for line in unused))


def _by_name(root: Path, files: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in files:
        if found.setdefault(bare(name), name) != name:
            raise Problem(f"{root} holds both {found[bare(name)]} and {name}; pairs are found by name, so keep one of them")
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


def _shared(files: Sequence[str]) -> int:
    """How many folders down the paths first differ."""
    return len(os.path.commonprefix([name.split("/")[:-1] for name in files]))


def _by_folder(listing: Listing, depth: int | None, kind: Kind) -> Listing:
    """Labels from the sub-folders `depth` down, or below the deepest folder that holds everything; none where there are none there."""
    parts = [name.split("/") for name in listing.files]
    shared = _shared(listing.files) if depth is None else depth
    if all(len(p) == shared + 1 for p in parts):
        return listing
    loose = [name for name, p in zip(listing.files, parts, strict=True) if len(p) <= shared + 1]
    if loose:
        beside = f"{len(loose)} of the {kind.words} lie beside the class folders of {listing.root} ({loose[0]})"
        raise Problem(f"{beside}; move into a class folder, or set data.labels=false")
    within = list(dict.fromkeys("/".join(p[: shared + 2]) for p in parts if len(p) > shared + 2))
    listing = replace(listing, left_out=(*listing.left_out, *line(len(within), WITHIN, within)))
    names = [word(p[shared]) for p in parts]
    return _labelled(listing, names, sorted(set(names), key=_in_order))


def _in_order(name: Any) -> tuple[Any, ...]:
    """What classes are ordered by: alphabetical, numbers in their names by value."""
    parts = re.split(r"([0-9]+)", str(name))
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], str(name)


def _labelled(listing: Listing, names: Sequence[Any], classes: Sequence[Any]) -> Listing:
    """The listing with the class of each picture, by name."""
    number = {name: i for i, name in enumerate(classes)}
    return replace(listing, label=tuple(number[name] for name in names), classes=tuple(map(str, classes)))


def by_name(listing: Listing, pattern: re.Pattern[str], kind: Kind, classes: Sequence[str] = ()) -> Listing:
    """The listing with the class that each file's name says: the pattern's first group where it matches, or all of that; in `classes` where these are named."""
    found = {name: pattern.search(name) for name in listing.files}
    if lacking := [name for name, match in found.items() if match is None or (pattern.groups and match[1] is None)]:
        what = f"{len(lacking)} of {len(found)} {kind.words} have no class in their names by {pattern.pattern}"
        raise Problem(f"{what} ({', '.join(map(word, lacking[:NAMED]))}{', …' if len(lacking) > NAMED else ''}); change it, or move them away")
    names = [word(match[1 if pattern.groups else 0]) for match in found.values() if match]
    classes = classes or sorted(set(names), key=_in_order)
    if unknown := set(names).difference(classes):
        raise Problem(f"{listing.root} has the class {sorted(unknown)[0]!r}, of which there is no example to train on; name the files alike")
    return _labelled(listing, names, classes)


def _with_rows(listing: Listing, rows: list[Row], ignored: list[str], absent: int, name: str) -> Listing:
    """The pictures that the metadata names, with its text and label."""
    if not rows:
        return replace(listing, left_out=(f"{name}, which names none of the pictures in {listing.root.name}",))
    text, label, named = column(rows, "text"), column(rows, "label"), tuple(relative for _, relative, _ in rows)
    left_out = line(len(set(listing.files).difference(named)), f"pictures have no row in {name} and are not used")
    left_out += line(len(ignored), f"columns of {name} are not used", ignored) + line(absent, f"rows of {name} name pictures that are not there")
    listing = Listing(listing.root, named, text=None if text is None else tuple(map(word, text)), left_out=tuple(left_out))
    return listing if label is None else _numbered(listing, label, rows[0][0])


def _numbered(listing: Listing, label: list, where: str) -> Listing:
    """Class numbers from 0 without gaps, in the order of the labels: by value where they are whole numbers, else as folders are."""
    if all(isinstance(value, str) and value.isascii() and value.isdigit() for value in label):  # CSV knows no numbers
        label = [int(value) for value in label]
    whole = all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in label)
    if not whole and not all(isinstance(value, str) for value in label):
        raise Problem(f"{re.split(' (line|entry) ', where)[0]}: labels must be all names, or all whole numbers from 0")
    label = label if whole else [word(value) for value in label]
    return _labelled(listing, label, sorted(set(label), key=_in_order))
