"""Text as examples: lines of files, or captions of pictures, as bytes."""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...device import check_memory
from ...errors import Problem, Within
from ..dataset import Tensors, check_left, check_split
from .listing import HELD_OUT, TRAIN, score
from .metadata import METADATA, captions, content_of, is_about_pictures, word
from .published import located
from .walk import HIDDEN, NAMED, Kind

TEXTS = Kind((".txt",), "texts")
PAD = 0  # the byte behind a line that is shorter than an example


class Line(NamedTuple):
    """A line, the number of its file, and the whole line that it is of, by which it is held out."""

    text: str
    file: int
    whole: str


def lines(
    path: str, length: Annotated[int, Within(1, 65_536)] = 64, wrap: bool = False, labels: bool = False,
    held_out: float = 0.05, split: str = "train",
) -> Tensors:  # fmt: skip
    """Your own text: a .txt file, a folder of them, or the captions of a picture folder (metadata.jsonl and its like); an example is a line.

    It is its UTF-8 bytes, (1, length), byte 0 behind shorter ones. Blanks at its ends are cut, several in a row are one, and a line that occurs again is dropped.

    length: bytes of an example. wrap: longer lines become several, broken at words; else they are left out. labels: the file of each line is its class.
    held_out: share of the lines that is the test split, chosen by a hash of each; files named train and test in a folder decide it instead.
    Raises Problem where there is no text, or it cannot be read, with what to do.
    """
    check_split(split, held_out)
    root = located(path)
    files, apart = text_files(root)
    found, left_out = _unique(_pieces(root, files, length, wrap), length, root)
    names = [_named(root, file) for file in files]
    kept = _of_split(found, names, apart, split, held_out)
    classes = sorted({names[line.file] for line in found})
    check_memory(f"{len(kept):,} lines of {length:,} bytes", len(kept) * length)
    label = [classes.index(names[line.file]) for line in kept] if labels and len(classes) > 1 else None
    made = Tensors("lines", encoded([line.text for line in kept], length), label, classes=classes if label else ())
    made.medium, made.left_out = "text", tuple(left_out)
    return made


def encoded(texts: Sequence[str], length: int) -> Tensor:
    """The UTF-8 bytes of texts, uint8 (N, 1, length), byte 0 behind them; what is longer is cut."""
    rows = np.zeros((len(texts), 1, length), np.uint8)
    for row, text in zip(rows, texts, strict=True):
        own = np.frombuffer(text.encode()[:length], np.uint8)
        row[0, : len(own)] = own
    return torch.from_numpy(rows)


def decoded(x: Tensor) -> list[str]:
    """The lines of examples (N, 1, length) in [-1, 1], up to the first byte 0; what is no UTF-8, or no letter that can be shown, is \ufffd."""
    rows = torch.nan_to_num(x.detach().float().cpu(), nan=-1.0).clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).flatten(1).numpy()
    texts = (row.tobytes().partition(bytes([PAD]))[0].decode(errors="replace") for row in rows)
    return ["".join("\ufffd" if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter for letter in text) for text in texts]


def text_files(root: Path) -> tuple[list[Path], bool]:
    """The files of text below a path; whether their names are those of splits. Raises Problem where there are none."""
    if not root.exists():
        raise Problem(f"{root}: no such file or folder; set data.path to a .txt file, a folder of them, or one of pictures with metadata.jsonl")
    if root.is_file():
        return [root], False
    every = sorted(file for file in root.rglob("*") if file.is_file() and not any(part.startswith(HIDDEN) for part in file.relative_to(root).parts))
    best: dict[Path, Path] = {}  # of several files of metadata in a folder, the one that is read of pictures too
    for file in every:
        if file.name in METADATA and is_about_pictures(file):
            best[file.parent] = min(file, best.get(file.parent, file), key=lambda each: METADATA.index(each.name))
    found = [file for file in every if file.suffix.lower() == ".txt" or file in best.values()]
    if not found:
        there = f", only {every[0].relative_to(root)} and the like" if every else ""
        raise Problem(f"no text in {root}{there}; .txt files and metadata.jsonl are read, in sub-folders too")
    stems = {file.stem.lower() for file in found}
    return found, bool(stems & {*TRAIN}) and bool(stems & {*HELD_OUT}) and stems <= {*TRAIN, *HELD_OUT}


def _named(root: Path, file: Path) -> str:
    """What the class of a file's lines is called: a text by its name, metadata by its folder's."""
    place = file.parent if file.name in METADATA else file.with_suffix("")
    return word(place.relative_to(root).as_posix() if place != root and root in place.parents else place.name)


def lines_of(file: Path) -> Iterator[str]:
    """The lines of a file that are not empty, without blanks at their ends, of several in a row one; raises Problem where it is no text."""
    if file.name in METADATA:
        texts = captions(file)
    elif "\0" in (content := content_of(file)):
        raise Problem(f"{file} is no text: it holds byte 0; save it as UTF-8, or leave it out")
    else:
        texts = content.splitlines()
    yield from filter(None, (word(" ".join(text.replace("\0", " ").split())) for text in texts))


def _pieces(root: Path, files: Sequence[Path], length: int, wrap: bool) -> Iterator[Line]:
    """All lines, and of those that are longer the pieces where they are to be wrapped; raises Problem where there are none."""
    some = False
    for number, file in enumerate(files):
        for whole in lines_of(file):
            some = True
            yield from (Line(piece, number, whole) for piece in (wrapped(whole, length) if wrap else [whole]))
    if not some:
        raise Problem(f"{root} is empty: it holds no line of text; write one example on each line")


def wrapped(text: str, length: int) -> list[str]:
    """A line as pieces of at most `length` bytes, as few as there can be; a word that is longer is a piece of its own."""
    pieces: list[str] = []
    for part in text.split(" "):
        longer = f"{pieces[-1]} {part}" if pieces else part
        if pieces and _size(longer) <= length:
            pieces[-1] = longer
        else:
            pieces.append(part)
    return pieces


def _unique(pieces: Iterator[Line], length: int, root: Path) -> tuple[list[Line], list[str]]:
    """The lines that fit, each once; what is left out, in words. Raises Problem where none fits."""
    found, long, again, left_out = dict[str, Line](), list[str](), 0, list[str]()
    for line in pieces:
        if _size(line.text) > length:
            long.append(line.text)
        elif line.text in found:
            again += 1
        else:
            found[line.text] = line
    longest = max(map(_size, long), default=0)
    if not found:
        raise Problem(f"all {len(long):,} lines of {root} are longer than {length} bytes; set data.length={longest}, or data.wrap=true to break them at words")
    if long:
        shown = f"{', '.join(text[:20] for text in long[:NAMED])}{', …' if len(long) > NAMED else ''}"
        left_out.append(f"{len(long):,} lines longer than {length} bytes ({shown}); data.wrap=true breaks them at words, data.length={longest} fits all")
    if again:
        left_out.append(f"{again:,} lines that occur again")
    return [*found.values()], left_out


def _size(text: str) -> int:
    return len(text.encode())


def _of_split(found: Sequence[Line], names: Sequence[str], apart: bool, split: str, held_out: float) -> list[Line]:
    """The lines of a split; raises Problem where there are none."""
    if apart:
        wanted = TRAIN if split == "train" else HELD_OUT
        held = [names[line.file].rpartition("/")[2].lower() in wanted for line in found]
    else:
        scores = [score(line.whole) for line in found]
        least = min(scores) if held_out > 0 and len({*scores}) > 1 else -1  # of a few, one at least
        held = [(value < held_out or value == least) == (split == "test") for value in scores]
    kept = [line for line, here in zip(found, held, strict=True) if here]
    check_left(len(kept), len(found), split, held_out)
    return kept
