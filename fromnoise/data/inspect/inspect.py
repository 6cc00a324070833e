"""What a folder or file of pictures holds."""

import hashlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import Problem, check_text
from ..dataset import Tensors, check_left
from ..files.folder import in_threads, named, unread, without
from ..files.header import Header, header
from ..files.listing import split_listing
from ..files.pictures import Look
from ..sets import arrays, cifar, idx
from .mixed import among

HELD_OUT = 0.05  # as `folder` does unless it is said
SEEN = 2048  # pixels of a side at which larger pictures are measured
SHOWN = 12  # classes listed by name
FEW = 20  # examples in a class under which `warnings` names it


@dataclass(frozen=True)
class Inspection:
    """What a set of pictures holds; values are shares of full scale, 0 black and 1 white."""

    path: Path
    kind: str  # the dataset's name in a recipe: folder, npz, mnist, fashion_mnist, cifar10
    sizes: Counter[tuple[int, int]]  # (width, height) -> pictures
    modes: Counter[str]
    depths: Counter[int]
    colour: bool
    alpha: bool
    low: float
    high: float
    mean: float
    labels: dict[str, int] = field(default_factory=dict)
    captions: tuple[str, ...] = ()
    broken: tuple[tuple[str, str], ...] = ()  # (name, reason)
    duplicates: tuple[tuple[str, ...], ...] = ()  # groups of names whose pixels are the same
    constant: tuple[str, ...] = ()  # pictures of one colour
    left_out: tuple[str, ...] = ()  # what lies there and is not used, in words
    held_out: int = 0  # pictures in a test folder of their own
    films: int = 0  # that lie among them

    @property
    def count(self) -> int:
        """Pictures that can be read, those of a test folder not counted."""
        return sum(self.sizes.values())

    @property
    def short_side(self) -> int:
        """The median of the pictures' shorter sides."""
        return round(statistics.median(side for size, n in self.sizes.items() for side in [min(size)] * n))

    def rows(self) -> list[tuple[str, str]]:
        """What the set holds, a row for each question."""
        sizes = [f"{width}x{height}" for width, height in sorted(self.sizes.elements(), key=lambda size: size[0] * size[1])]
        (width, height), times = self.sizes.most_common(1)[0]
        ratios = sorted(width / height for width, height in self.sizes.elements())
        return [
            ("path", f"{self.path} ({self.kind})"),
            ("pictures", f"{self.count:,}" + (f" and {self.held_out:,} in a test folder" if self.held_out else "")),
            ("size", sizes[0] if len(self.sizes) == 1 else f"{sizes[0]} to {sizes[-1]}, median {sizes[len(sizes) // 2]}"),
            ("most common", f"{width}x{height}, {times / len(sizes):.0%} of them"),
            ("width/height", f"{ratios[0]:.2f} to {ratios[-1]:.2f}, median {ratios[len(ratios) // 2]:.2f}"),
            ("mode", counted(self.modes)),
            ("bits", counted({str(depth): n for depth, n in self.depths.items()})),
            ("values", f"{self.low:.3f} to {self.high:.3f} of full scale, mean {self.mean:.3f}"),
            ("labels", labelled(self.labels)),
            ("captions", captioned(self.captions)),
            ("broken", str(len(self.broken))),
            ("duplicates", str(copies(self.duplicates))),
            ("one colour", str(len(self.constant))),
        ]

    def warnings(self) -> list[str]:
        """What to check before training, one line each."""
        lines = [f"left out: {line}" for line in self.left_out]
        if self.films:
            lines.append(f"{self.films:,} films lie among the pictures, and at most their first frames are read; inspect them in a folder of their own")
        if self.broken:
            first = "; ".join([f"{name}: {reason}" for name, reason in self.broken[:3]] + ["…"] * (len(self.broken) > 3))
            lines.append(f"{len(self.broken)} broken ({first}): remove them, or data.skip_broken=true")
        lines += of_duplicates(self.duplicates)
        if self.constant:
            lines.append(f"{len(self.constant)} of one single colour (such as {self.constant[0]})")
        if self.labels and max(self.labels.values()) >= 10 * min(self.labels.values()):
            least = min(self.labels, key=self.labels.__getitem__)
            lines.append(f"unbalanced classes: {max(self.labels.values())} examples in the largest, {self.labels[least]} in {least}")
        elif self.labels and min(self.labels.values()) < FEW:
            lines.append(f"fewer than {FEW} examples in a class: expect copies of them rather than new pictures")
        if self.high - self.low < 0.5:
            lines.append(f"low contrast: values reach from {self.low:.2f} to {self.high:.2f} of full scale")
        return lines


class _Facts(NamedTuple):
    """What one decoded picture holds."""

    digest: bytes
    low: float
    high: float
    mean: float
    constant: bool


def inspect(path: str | Path) -> Inspection:
    """What the pictures at `path` are, all decoded: a folder of them, one with idx or CIFAR-10 files, or a .npz. Raises Problem where there are none."""
    path = Path(path).expanduser().absolute()
    check_text("the folder", str(path))
    if path.suffix == ".npz":
        images, labels, left_out = arrays.read(path)
        if images.ndim == 5:
            raise Problem(f"{path} holds clips or volumes, {images.shape}, which are not inspected; train on them: data={{name: npz, path: {path.name}}}")
        check_left(len(images) - 1, len(images), "test", HELD_OUT)  # refused where training would be
        numbers, classes = (None, ()) if labels is None else arrays.numbered(labels)
        return replace(_tensors(path, "npz", Tensors("npz", images.transpose(0, 3, 1, 2), numbers, classes=classes)), left_out=left_out)
    if path.is_dir():
        for source in (idx.MNIST, idx.FASHION_MNIST):
            if (pair := idx.find(source, path, "train")) is not None:
                return _tensors(path, source.name, idx.read_pair(source.name, *pair))
        if (place := cifar.find(path)) is not None:
            return _tensors(path, "cifar10", cifar.read_split(place, "train"))
    return _folder(path)


def _tensors(path: Path, kind: str, data: Tensors) -> Inspection:
    count, channels, height, width = data.x.shape
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels} channels")
    return Inspection(
        path, kind, Counter({(width, height): count}), Counter({mode: count}), Counter({8: count}), channels > 1, channels in (2, 4),
        labels={} if data.label is None else _counts(data.label.tolist(), data.classes),
        **_whole([f"number {i}" for i in range(count)], [_facts(picture) for picture in data.x.numpy()]),
    )  # fmt: skip


def _folder(path: Path) -> Inspection:
    listing = split_listing(path, True, "train", 0.0)[0]

    def examine(file: str) -> tuple[Header, _Facts]:
        head = header(file)
        channels = "rgba" if head.alpha else "rgb" if head.colour else "grey"
        shrink = max(1.0, head.width / SEEN, head.height / SEEN)
        size = max(1, round(head.height / shrink)), max(1, round(head.width / shrink))
        picture = Look(size, channels, deep=head.depth > 8)(file)
        return head, _facts((picture + 1) / 2 if head.depth > 8 else picture)

    results, broken = in_threads(examine, listing, "decoding pictures")
    if not results:
        raise Problem(f"none of the {len(broken)} pictures in {path} can be read ({': '.join(next(iter(broken.items())))}); replace them")
    heads, found = zip(*results.values(), strict=True)
    label = None if listing.label is None else dict(zip(listing.files, listing.label, strict=True))
    whole, held = split_listing(path, True, "test", HELD_OUT)  # refused where training would be
    left_out = [*whole.left_out, *unread(dict(zip(results, heads, strict=True)))]
    theirs, bad = dict[str, Header](), dict[str, str]()
    if held.root != whole.root:
        theirs, bad = in_threads(header, held, "reading headers")
        left_out += [f"{held.root.name}: {line}" for line in unread(theirs)]
        bad = {f"{held.root.name}/{name}": reason for name, reason in bad.items()}
    return Inspection(
        path, "folder", Counter((h.width, h.height) for h in heads), Counter(h.mode for h in heads), Counter(h.depth for h in heads),
        any(h.colour for h in heads), any(h.alpha for h in heads), labels=_counts([label[name] for name in results], listing.classes) if label else {},
        captions=without(listing, broken).text or (), broken=tuple((broken | bad).items()), left_out=tuple(left_out),
        held_out=len(theirs), films=among(path).films, **_whole(results, found),
    )  # fmt: skip


def _facts(picture: np.ndarray) -> _Facts:
    """Of one picture (C, H, W): bytes, or shares of full scale."""
    digest = hashlib.blake2b(np.ascontiguousarray(picture).tobytes() + repr(picture.shape).encode(), digest_size=12).digest()
    seen, scale = picture, 255.0 if picture.dtype == np.uint8 else 1.0
    if len(picture) in (2, 4):  # what is seen of a transparent picture: its values laid on white
        alpha = picture[-1:] / scale
        seen, scale = picture[:-1] / scale * alpha + 1 - alpha, 1.0
    low, high, mean = (float(value) / scale for value in (seen.min(), seen.max(), seen.mean()))
    return _Facts(digest, low, high, mean, bool((picture == picture[:, :1, :1]).all()))


def _whole(names: Iterable[str], found: Sequence[_Facts]) -> dict[str, Any]:
    """What all pictures together hold: values, groups of names with the same pixels, names of pictures of one colour."""
    groups, constant = defaultdict(dict), {}
    for name, facts in zip(names, found, strict=True):
        groups[facts.digest][name] = None  # one file with several captions is no duplicate
        if facts.constant:
            constant[name] = None
    duplicates = tuple(tuple(group) for group in groups.values() if len(group) > 1)
    low, high, mean = min(f.low for f in found), max(f.high for f in found), sum(f.mean for f in found) / len(found)
    return {"low": low, "high": high, "mean": mean, "duplicates": duplicates, "constant": tuple(constant)}


def _counts(label: Iterable[int], classes: tuple[str, ...]) -> dict[str, int]:
    times = Counter(label)
    return {name: times[i] for i, name in enumerate(classes)}


def counted(counts: Mapping[str, int]) -> str:
    """How often each of the first few things is there."""
    shown = ", ".join(f"{name} {n:,}" for name, n in list(counts.items())[:SHOWN])
    return shown + (f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def labelled(labels: Mapping[str, int]) -> str:
    """The classes, and how many examples each has."""
    return f"{len(labels)} classes: {counted(labels)}" if labels else "none"


def captioned(captions: Sequence[str]) -> str:
    """How many captions there are, and the first."""
    return f"{len(captions):,}, such as {captions[0]!r}" if captions else "none"


def copies(groups: Iterable[Sequence[str]]) -> int:
    """How many examples there are already, of groups of the same."""
    return sum(len(group) - 1 for group in groups)


def of_broken(broken: Mapping[str, str]) -> list[str]:
    """The warning of files that cannot be read, {name: reason}; [] of none."""
    return [f"{len(broken)} broken ({named(broken)}): remove them, or data.skip_broken=true"] if broken else []


def of_duplicates(groups: Sequence[Sequence[str]]) -> list[str]:
    """The warning of examples that are the same; [] of none."""
    return [f"{copies(groups)} duplicates (such as {' = '.join(groups[0][:2])}): a copy may sit in both splits"] if groups else []
