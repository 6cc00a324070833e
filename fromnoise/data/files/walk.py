"""What lies in a folder: its examples, what describes them, and what is not read."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .header import ENDINGS
from .metadata import ANNOTATIONS, BESIDE, METADATA, bare, is_about_pictures, word

HIDDEN = (".", "__MACOSX", "@eaDir")  # what names begin with that systems make for themselves
NAMED = 5  # of what is left out


@dataclass(frozen=True)
class Kind:
    """The files that are examples, by the endings of their names, and what they are called.

    gathered: (examples, files that are none) of the files (root, names) of these endings, where a folder of several may be one example; read: what is
    read, in words, where the endings do not say it
    """

    endings: tuple[str, ...]
    words: str
    gathered: Callable[[Path, list[str]], tuple[list[str], list[str]]] | None = None
    read: str = ""

    @property
    def reads(self) -> str:
        """What is read, in words."""
        return self.read or ", ".join(ending[1:] for ending in self.endings)


PICTURES = Kind(ENDINGS, "pictures")


@dataclass(frozen=True)
class Found:
    """What lies in a folder, by relative names: pictures, metadata, captions by the name of their picture, other files; `unseen`, what else, in words."""

    files: list[str]
    metadata: list[str]
    texts: dict[str, str]
    others: list[str]
    unseen: list[str]


def walk(root: Path, without: Collection[Path] = (), kind: Kind = PICTURES) -> Found:
    """What lies below `root`. Links to folders are followed once, and none to those above; hidden ones, and those in `without`, are not looked into."""
    files, metadata, others, folders, hidden, again, closed, seen, top = [], [], [], [], [], [], [], set(), os.path.realpath(root)
    for home, inside, names in os.walk(root, followlinks=True, onerror=lambda error: closed.append(os.path.relpath(error.filename, root))):
        place, real = Path(home).relative_to(root), os.path.realpath(home)
        if real in seen or top.startswith(os.path.join(real, "")):
            inside.clear()
            again.append(place.as_posix())
            continue
        seen.add(real)
        there = inside + [name for name in names if name.lower().endswith(kind.endings)]
        hidden += [(place / name).as_posix() for name in sorted(there) if name.startswith(HIDDEN)]
        inside[:] = sorted(name for name in inside if not name.startswith(HIDDEN) and Path(home, name) not in without)
        names = sorted(name for name in names if not name.startswith(HIDDEN))
        folders.append(place)
        described_by = metadata_of(Path(home), names)
        for name in names:
            among = files if name.lower().endswith(kind.endings) else metadata if name in described_by else others
            among.append((place / name).as_posix())
    files, none = kind.gathered(Path(root), files) if kind.gathered else (files, [])
    others += none
    apart = [name for name in metadata if Path(name).parent.name == ANNOTATIONS]
    if len(apart) < len(metadata):  # what lies beside the pictures is nearer to them
        others, metadata = others + apart, [name for name in metadata if name not in apart]
    pictured, full = {bare(name) for name in files}, {place for name in files for place in (Path(name), *Path(name).parents)}
    texts = {bare(name): name for name in sorted(others) if name.lower().endswith(BESIDE) and bare(name) in pictured}
    used = {Path(name).parent for name in metadata}
    empty = [place.as_posix() for place in folders if place not in full | used and place.parent in full]
    unseen = line(len(empty), f"folders hold no {kind.words} that are read", empty) + line(len(hidden), "hidden files and folders are not looked into", hidden)
    unseen += line(len(again), "links to folders that are read already, or lie above", again) + line(len(closed), "folders may not be read", closed)
    return Found(sorted(files), sorted(metadata), texts, sorted(set(others).difference(texts.values())), unseen)


def metadata_of(home: Path, names: Iterable[str]) -> list[str]:
    """The file of a folder that describes its pictures, the best of those there are, or all captions among annotations; none where there is none."""
    there = {name.lower(): name for name in sorted(names)}
    if home.name == ANNOTATIONS:
        return [name for name in there.values() if name.startswith("captions") and name.endswith(".json")]
    return [there[name] for name in METADATA if name in there and is_about_pictures(home / there[name])][:1]


def line(count: int, what: str, names: Iterable[str] = ()) -> list[str]:
    """What is left out, in words, where there is some; with the first few names."""
    names = list(names)
    shown = f" ({', '.join(map(word, names[:NAMED]))}{', …' if len(names) > NAMED else ''})" if names else ""
    return [f"{count:,} {what}{shown}"] if count else []


def unread(others: Sequence[str], kind: Kind = PICTURES) -> list[str]:
    """Files that are not read, counted by their endings."""
    kinds = Counter(os.path.splitext(name)[1].lower() or os.path.basename(name) for name in others)
    return line(len(others), f"files that are not read as {kind.words}", [f"{n:,} {ending}" for ending, n in kinds.most_common()])
