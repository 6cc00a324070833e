"""Any folder of pictures, or of pairs of them (an input and what is to be made of it), as a dataset."""

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, final

import numpy as np
import torch
from torch import Tensor

from ...errors import Problem, Usage
from ...progress import console, track
from ..dataset import Dataset, Tensors, Wrapped
from .header import Broken, Header, header
from .listing import Listing, divided, outside, partners, split_listing
from .metadata import word
from .pictures import Look, check, colour, half_box
from .published import located
from .walk import Kind

T = TypeVar("T")
IN_MEMORY = 1 << 30  # bytes of decoded pictures up to which a set lives in memory
NAMED = 3  # files that a message names
OTHER = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
SKIPPING = {True: ", or set data.skip_broken=true", False: ""}


@final
class Folder(Wrapped):
    """Your own folder of pictures: class sub-folders or none, captions and labels from metadata.jsonl (or .csv, .json), captions from texts beside the pictures.

    COCO's annotations/captions_*.json are read too; of several captions of a picture, each makes an example.

    size: side, or [height, width]; needed where the pictures differ. fit: crop, pad or resize. channels: grey, rgb or rgba; as the files are where not given.
    background: under transparency and around padded pictures. held_out: share of the pictures that are the test split, by a hash of their names (folders named
    train and test, or the like, decide it instead). labels: false leaves them out. label: the name of the one class that all pictures are of. memory: true keeps
    all pictures decoded in memory, false reads them as they are needed; by their size where not given. Raises Problem where pictures
    cannot be read or differ in size, with the first few names and what to do.
    """

    def __init__(
        self, path: str, size: int | Sequence[int] | None = None, fit: str = "crop", channels: str | None = None,
        background: str | Sequence[int] = "white", labels: bool = True, label: str | int | None = None, held_out: float = 0.05,
        memory: bool | None = None, skip_broken: bool = False, split: str = "train",
    ):  # fmt: skip
        check(fit, channels)
        if label is not None and not labels:
            raise Usage(f"data.label={label} names the class of all pictures, and data.labels=false leaves classes out; say one of them")
        whole, chosen = split_listing(located(path), labels and label is None, split, held_out)
        headers, broken = headers_of(whole, skip_broken)
        left_out, look = [*whole.left_out, *unread(headers, broken)], look_of([*headers.values()], size, fit, channels, background)
        if whole.root != chosen.root:  # a folder of held-out pictures
            headers, broken = headers_of(chosen, skip_broken)
            left_out += [f"{chosen.root.name}: {line}" for line in unread(headers, broken)]
            chosen = without(chosen, broken)
        elif broken:
            chosen = divided(without(whole, broken), split, held_out)[1]
        chosen = chosen if label is None else chosen.of_class(label)
        kept = memory if memory is not None else look.bytes * len(chosen) < IN_MEMORY
        super().__init__((decoded if kept else Streamed)(replace(chosen, left_out=tuple(left_out)), look, skip_broken))
        self.folder = whole.folder if not self.classes else ""


def without(listing: Listing, names: Collection[str]) -> Listing:
    """The pictures but for those of these names."""
    return listing.at([i for i, name in enumerate(listing.files) if name not in names])


def in_threads(work: Callable[[str], T], listing: Listing, words: str) -> tuple[dict[str, T], dict[str, str]]:
    """What `work` made of each file of the listing, by name, and of those that are broken the reason; a file of several captions is looked at once."""
    names = list(dict.fromkeys(listing.files))

    def one(name: str) -> T | Broken:
        try:
            return work(str(listing.root / name))
        except Broken as reason:
            return reason

    # Pillow's warnings are not shown; entered around all threads rather than in each, since the filters are the process's
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        results = dict(zip(names, track(pool.map(one, names), words, len(names)), strict=True))
    good = {name: result for name, result in results.items() if not isinstance(result, Broken)}
    return good, {name: str(result) for name, result in results.items() if name not in good}


def all_read(work: Callable[[str], T], listings: Sequence[Listing], skip: bool, kind: Kind) -> tuple[dict[Path, T], list[str]]:
    """(what `work` made of each file of the listings' folders, those that are left out, in words). Raises Problem as `report_broken` does."""
    found, lines = dict[Path, T](), list[str]()
    for listing in {part.root: part for part in listings}.values():  # of one folder the last
        good, broken = in_threads(work, listing, f"reading {kind.words}")
        report_broken(broken, len(good), skip, kind.words)
        lines += [f"{len(broken):,} files cannot be read and are skipped ({named(broken)})"] if broken else []
        found |= {listing.root / name: one for name, one in good.items()}
    return found, lines


def headers_of(listing: Listing, skip: bool | None) -> tuple[dict[str, Header], dict[str, str]]:
    """The headers of all pictures that have one, by name, and why the others have none; raises Problem as `report_broken` does."""
    found, broken = in_threads(header, listing, "reading headers")
    report_broken(broken, len(found), skip)
    return found, broken


def unread(headers: Mapping[str, Header], broken: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """What of the files is not read, in words: pages after the first, colour profiles of more than 8 bits, those that are broken."""
    stacks, deep = [h.pages for h in headers.values() if h.pages > 1], sum(h.unapplied for h in headers.values())
    lines = [f"{sum(stacks) - len(stacks):,} pages after the first of {len(stacks):,} stacks or films are not read"] if stacks else []
    lines += [f"{deep:,} pictures of more than 8 bits have a colour profile of tables, which is not applied"] if deep else []
    return lines + ([f"{len(broken):,} pictures are broken and skipped ({named(broken)})"] if broken else [])


def named(broken: Mapping[str, str]) -> str:
    """The first few, and why."""
    more = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
    return "; ".join(f"{word(name)}: {reason}" for name, reason in [*broken.items()][:NAMED]) + more


def report_broken(broken: Mapping[str, str], good: int, skip: bool | None, what: str = "pictures") -> None:
    """Raises Problem where files are broken and not to be skipped (None: cannot be), or nothing else is left."""
    if not broken or (skip and good):
        return
    cure = "remove them" + SKIPPING[skip is not None and good > 0]
    raise Problem(f"{len(broken)} of {len(broken) + good} {what} cannot be read ({named(broken)}); {cure}")


def look_of(headers: Sequence[Header], size: Any, fit: str, channels: str | None, background: Any) -> Look:
    """What the pictures become, as far as the settings leave it to the files."""
    wanted = _sides(size) if size is not None else _same_size(headers)
    if channels is None:
        channels = "rgba" if any(h.alpha for h in headers) else "rgb" if any(h.colour for h in headers) else "grey"
    return Look(wanted, channels, fit, "#{:02x}{:02x}{:02x}".format(*colour(background)), any(h.depth > 8 for h in headers))


def _sides(size: Any) -> tuple[int, int]:
    sides = [size, size] if isinstance(size, int) else size if isinstance(size, Sequence) and not isinstance(size, str) else ()
    if len(sides) != 2 or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        raise Usage(f"size is one side in pixels, or [height, width], not {size!r}")
    return sides[0], sides[1]


def _same_size(headers: Sequence[Header]) -> tuple[int, int]:
    sizes = Counter((h.height, h.width) for h in headers)
    if len(sizes) > 1:
        low, high = min(headers, key=lambda h: h.width * h.height), max(headers, key=lambda h: h.width * h.height)
        sides = f"from {low.width}x{low.height} to {high.width}x{high.height} (width x height)"
        raise Problem(f"the pictures have {len(sizes)} different sizes, {sides}; say which one they get, as in data.size=64 data.fit=crop")
    return next(iter(sizes))


def decoded(listing: Listing, look: Look, skip: bool | None) -> Tensors:
    """The set in memory, decoded by threads into one tensor."""
    paths = [str(listing.root / name) for name in listing.files]
    first: dict[str, str] = {}  # a picture with several captions is decoded once
    for path, name in zip(paths, listing.files, strict=True):
        first.setdefault(path, name)
    place = {path: i for i, path in enumerate(first)}
    x = np.empty((len(first), *look.shape), np.float32 if look.deep else np.uint8)

    def one(path: str) -> bool:
        x[place[path]] = look(path)
        return True

    found, broken = in_threads(one, replace(listing, files=tuple(first.values())), "decoding pictures")
    report_broken(broken, len(found), skip)
    if broken or len(first) < len(paths):
        good = [i for i, path in enumerate(paths) if first[path] in found]
        x, listing = x[[place[paths[i]] for i in good]], listing.at(good)
    made = Tensors("folder", x, listing.label, listing.text, listing.classes)
    made.left_out = (*listing.left_out, *unread({}, broken))
    return made


@final
class Streamed(Dataset):
    """Pictures read from their files as they are needed."""

    def __init__(self, listing: Listing, look: Look, skip_broken: bool | None):
        self.listing, self.look, self.skip_broken = listing, look, skip_broken
        self.name, self.shape, self.classes, self.text = "folder", look.shape, listing.classes, listing.text
        self.left_out, self.skipped = listing.left_out, set[str]()
        self.keys = tuple(key for key in ("label", "text") if getattr(listing, key) is not None)

    @property
    def stamp(self) -> str:
        found = hashlib.sha256(repr((self.listing.files, self.listing.label, self.listing.text, self.look)).encode("utf-8", "surrogateescape"))
        for name in self.listing.files:
            about = os.stat(self.listing.root / name)
            found.update(f"{about.st_size} {about.st_mtime_ns} ".encode())
        return found.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.listing)

    def labels(self, indices: Tensor) -> Tensor:
        return torch.tensor(self.listing.label)[indices]

    def take(self, indices: Tensor) -> dict[str, Any]:
        with warnings.catch_warnings(action="ignore"):
            rows, pictures = zip(*(self._picture(i) for i in indices.tolist()), strict=True)
        known = self.listing.at(rows)
        label = {} if known.label is None else {"label": torch.tensor(known.label)}
        return {"x": torch.from_numpy(np.stack(pictures))} | label | ({} if known.text is None else {"text": list(known.text)})

    def _picture(self, row: int) -> tuple[int, np.ndarray]:
        """Picture `row`, or the next one that can be read where broken ones are to be skipped."""
        last = ""
        for i in range(row, row + len(self) if self.skip_broken else row + 1):
            name = self.listing.files[i % len(self)]
            try:
                return i % len(self), self.look(self.listing.root / name)
            except Broken as reason:
                last = f"{name}: {reason}"
                if self.skip_broken and name not in self.skipped:  # its header was whole: this is the first that is known of it
                    self.skipped.add(name)
                    console(stderr=True).print(f"left out: {word(last)}", style="yellow", soft_wrap=True)
        raise Problem(f"a picture in {self.listing.root} cannot be read ({last}); remove it{SKIPPING[self.skip_broken is not None]}")


@final
class Pairs(Wrapped):
    """Your own pairs of pictures, for translation: two folders with the same file names, or one whose pictures hold both side by side.

    image, target: the folders, under `path`, of the inputs and of what is to be made of them; their names agree up to the endings. halves:
    instead, which half of every picture is the input, left, right, top or bottom. channels are the target's, image_channels the input's. The
    rest is as in `folder`: labels and captions are the target's. Input and target are cut and mirrored alike.
    Raises Problem where pictures have no counterpart, cannot be read, or differ in size, with the first few names and what to do.
    """

    def __init__(
        self, path: str, image: str | None = None, target: str | None = None,
        halves: Literal["left", "right", "top", "bottom"] | None = None, size: int | Sequence[int] | None = None, fit: str = "crop",
        channels: str | None = None, image_channels: str | None = None, background: str | Sequence[int] = "white", labels: bool = True,
        held_out: float = 0.05, memory: bool | None = None, split: str = "train",
    ):  # fmt: skip
        for each in (channels, image_channels):
            check(fit, each)
        if (image is None) != (target is None) or (image is None) == (halves is None):
            two, one = "data.image=INPUTS data.target=TARGETS, under data.path", "data.halves=left is the input"
            raise Usage(f"pairs are two folders ({two}), or halves of each picture ({one})")
        root, half = located(path), halves and OTHER[halves]
        whole, chosen = split_listing(root / (target or ""), labels, split, held_out)
        theirs, mine = whole, chosen  # both are halves of the same pictures
        if image is not None and target is not None:
            theirs, mine = (partners(listing, root / image / listing.root.relative_to(root / target)) for listing in (whole, chosen))
        ones, others = _headers(whole, half), _headers(theirs, halves)
        _check_sizes(whole.files, ones, others, size, fit)
        left_out = [*whole.left_out, *unread(dict(zip(whole.files, ones, strict=True)))]
        if image is not None and target is not None:
            lines = unread(dict(zip(theirs.files, others, strict=True)))
            left_out += [*theirs.left_out, *(f"{theirs.root.name}: {line}" for line in lines), *outside(root, (root / image, root / target))]
        chosen = replace(chosen, left_out=tuple(left_out))
        look = replace(look_of(ones, size, fit, channels, background), half=half)
        look_image = replace(look_of(others, size, fit, image_channels, background), half=halves)
        if memory if memory is not None else (look.bytes + look_image.bytes) * len(chosen) < IN_MEMORY:
            x = decoded(chosen, look, None)
            made = Tensors("pairs", x.x, x.label, x.text, x.classes, decoded(mine, look_image, None).x)
            made.left_out = x.left_out
            super().__init__(made)
        else:
            super().__init__(_Streamed(Streamed(chosen, look, None), Streamed(mine, look_image, None)))


def _headers(listing: Listing, half: str | None) -> list[Header]:
    found = headers_of(listing, None)[0]
    headers = [found[name] for name in listing.files]
    if half is None:
        return headers
    boxes = [half_box(half, h.width, h.height) for h in headers]
    return [replace(h, width=right - left, height=low - top) for h, (left, top, right, low) in zip(headers, boxes, strict=True)]


def _check_sizes(names: Sequence[str], ones: Sequence[Header], others: Sequence[Header], size: Any, fit: str) -> None:
    """Raises Problem where the two of a pair differ in size, or, being brought to one, in the shape that would be cut differently."""

    def differ(a: Header, b: Header) -> bool:
        if size is None:
            return (a.width, a.height) != (b.width, b.height)
        # the same shape but for what rounding to whole pixels does
        return fit != "resize" and abs(a.width * b.height - b.width * a.height) > max(a.width, a.height, b.width, b.height)

    bad = [(name, a, b) for name, a, b in zip(names, ones, others, strict=True) if differ(a, b)]
    if bad:
        named = ", ".join(f"{name}: {a.width}x{a.height} from {b.width}x{b.height}" for name, a, b in bad[:NAMED])
        more = ", …" if len(bad) > NAMED else ""
        what, cure = ("shape", "cut them alike, or set data.fit=resize") if size else ("size", "say which one they get, as in data.size=64")
        raise Problem(f"{len(bad)} of {len(names)} targets differ from their inputs in {what} ({named}{more}); {cure}")


class _Streamed(Wrapped):
    """Pairs read from their files as they are needed."""

    def __init__(self, target: Streamed, image: Streamed):
        super().__init__(target)
        self.image, self.image_shape, self.name, self.keys = image, image.shape, "pairs", (*target.keys, "image")

    def take(self, indices: Tensor) -> dict[str, Any]:
        return {**self.base.take(indices), "image": self.image.take(indices)["x"]}
