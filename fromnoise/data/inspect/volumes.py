"""What a folder or file of volumes holds, and a recipe that suits it: a UNet on three axes."""

import hashlib
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import Problem
from ..files.folder import in_threads, named, without
from ..files.listing import parts_of
from ..files.scans import VOLUMES, read
from ..files.volumes import ALIKE, PERCENT
from .clips import BATCHES, paced, training, written
from .inspect import copies, labelled, of_broken, of_duplicates
from .latents import Speed
from .propose import SPENT, STEPS

HELD_OUT = 0.05  # as `volumes` does unless it is said
SOME = 50_000  # voxels of a file that quantiles are measured on
ON_CPU, ON_GPU = 64, 128  # the largest side proposed
NETWORKS = (  # (side of volumes, of the grid that the first level works on, width, volumes that it should see at least)
    (16, 8, 32, 0), (32, 8, 32, 1_000), (32, 8, 64, 10_000), (32, 16, 64, 60_000), (64, 16, 64, 200_000), (128, 32, 64, 1_000_000),
)  # fmt: skip


@dataclass(frozen=True)
class _Facts:
    shape: tuple[int, ...]  # (C, D, H, W)
    count: int
    spacing: tuple[float, ...]
    low: float
    high: float
    some: np.ndarray
    digest: bytes


@dataclass(frozen=True)
class Scanned:
    """What volumes there are."""

    path: Path
    files: Mapping[str, _Facts]
    labels: Mapping[str, int]
    broken: Mapping[str, str]
    duplicates: Sequence[Sequence[str]]
    left_out: Sequence[str]

    @property
    def count(self) -> int:
        """How many volumes there are."""
        return sum(facts.count for facts in self.files.values())

    @property
    def sizes(self) -> Counter[tuple[int, ...]]:
        """How many volumes are (C, D, H, W)."""
        return sum((Counter({facts.shape: facts.count}) for facts in self.files.values()), Counter[tuple[int, ...]]())

    @property
    def window(self) -> tuple[float, float]:
        """What PERCENT of all voxels lie between; the least and the largest where these are one."""
        low, high = np.percentile(np.concatenate([facts.some for facts in self.files.values()]), PERCENT)
        return (low, high) if low < high else (min(facts.low for facts in self.files.values()), max(facts.high for facts in self.files.values()))

    @property
    def spacings(self) -> list[tuple[float, ...]]:
        """mm along D, H and W of the files that say it."""
        return [facts.spacing for facts in self.files.values() if facts.spacing]

    def rows(self) -> list[tuple[str, str]]:
        """What there is, a row for each question."""
        sizes = [f"{' x '.join(map(str, size[1:]))}{f' of {size[0]} channels' * (size[0] > 1)} ({n:,})" for size, n in self.sizes.most_common(5)]
        spans = [f"{low:.3g}" if high - low <= ALIKE * low else f"{low:.3g} to {high:.3g}" for low, high in _ends(self.spacings)]
        known = f" ({len(self.spacings):,} of {len(self.files):,} say it)" if len(self.spacings) < len(self.files) else ""
        (least, most), window = ([one(getattr(facts, key) for facts in self.files.values()) for one, key in ((min, "low"), (max, "high"))]), self.window
        return [
            ("path", f"{self.path} (volumes)"), ("volumes", f"{self.count:,}"),
            ("size", ", ".join(sizes) + (f" and {len(self.sizes) - 5} more sizes" if len(self.sizes) > 5 else "")),
            ("spacing", f"{' x '.join(spans)} mm{known}" if spans else "not said"),
            ("values", f"{least:.4g} to {most:.4g}, {PERCENT[0]} to {PERCENT[1]} % of them {window[0]:.4g} to {window[1]:.4g}"),
            ("labels", labelled(self.labels)), ("broken", str(len(self.broken))), ("duplicates", str(copies(self.duplicates))),
        ]  # fmt: skip

    def warnings(self) -> list[str]:
        """What to check before training, one line each."""
        return [*(f"left out: {line}" for line in self.left_out), *of_broken(self.broken), *of_duplicates(self.duplicates)]


def _ends(rows: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    return [(min(column), max(column)) for column in zip(*rows, strict=True)]


def inspect(path: str | Path) -> Scanned:
    """What the volumes at a path are. Raises Problem where none can be read, or they differ in channels."""
    path = Path(path).expanduser().absolute()
    whole, *_ = parts_of(path, True, "train", HELD_OUT, VOLUMES)
    found, broken = in_threads(lambda file: _examined(file, path.is_file()), whole, "reading volumes")
    if not found:
        raise Problem(f"none of the {len(broken)} volumes in {path} can be read ({named(broken)}); replace them")
    most = Counter(facts.shape[0] for facts in found.values()).most_common(1)[0][0]
    if odd := {name: str(facts.shape[0]) for name, facts in found.items() if facts.shape[0] != most}:
        raise Problem(f"{len(odd)} of {len(found)} volumes have other channels than the {most} of the rest ({named(odd)}); keep them in a folder of their own")
    groups, kept = defaultdict(list), without(whole, broken)
    for name, facts in found.items():
        groups[facts.digest].append(name)
    labels = {} if kept.label is None else {name: kept.label.count(i) for i, name in enumerate(kept.classes)}
    return Scanned(path, found, labels, broken, [group for group in groups.values() if len(group) > 1], whole.left_out)


def _examined(file: str, alone: bool) -> _Facts:
    scan = read(file, alone)
    some = scan.x.ravel()[:: max(1, scan.x.size // SOME) | 1].copy()
    digest = hashlib.blake2b(scan.x.tobytes(), digest_size=12).digest()
    return _Facts(scan.x.shape[1:], len(scan.x), scan.spacing, float(scan.x.min()), float(scan.x.max()), some, digest)


def proposals(found: Scanned, minutes: float, speed: Speed, name: str) -> dict[str, str]:
    """The recipe for what was found, {name: YAML}, with the reasons as comments; `speed` measures networks, the cheapest first, until one is too slow."""
    reasons: list[str] = []
    labels = len(found.labels) if len(found.labels) > 1 else 0
    sides, network, rate = _network(found, labels, minutes, speed, reasons)
    low, high = (float(f"{end:.4g}") for end in found.window)
    data: dict[str, Any] = {"name": "volumes", "path": str(found.path), "size": sides if len({*sides}) > 1 else sides[0], "window": [low, high]}
    reasons.append(f"window: {PERCENT[0]} to {PERCENT[1]} % of all voxels lie in it, and others are held at its ends; set what matters, as [-160, 240] HU of CT")
    if found.spacings and any(high - low > ALIKE * low for low, high in [*_ends(found.spacings), (min(found.spacings[0]), max(found.spacings[0]))]):
        reasons.append("spacing: voxels are stretched to one size as they are; data.spacing=MM brings them to one spacing first, and then cuts or fills up")
    if found.broken:
        data["skip_broken"] = True
        reasons.append("skip_broken: some files cannot be read and are left out")
    own = paced(found.count, rate, minutes, "volume", reasons)
    return {name: written(reasons, data, network, {"minutes": minutes, **own}, labels)}


def _network(found: Scanned, labels: int, minutes: float, speed: Speed, reasons: list[str]) -> tuple[list[int], dict[str, Any], float]:
    """([D, H, W], the largest network that sees enough volumes of these in the minutes that there are, volumes a second)."""
    most, ((channels, *whole), _) = ON_GPU if torch.cuda.is_available() else ON_CPU, found.sizes.most_common(1)[0]
    own = whole if len(found.sizes) == 1 and max(whole) <= min(most, 32) and all(side % 4 == 0 for side in whole) else None
    short = round(statistics.median(min(size[1:]) for size in found.sizes.elements()))
    chosen, measured = ([0], {}, 0.0), []
    for side, grid, width, wanted in NETWORKS:
        if measured and (side > most or (own is None and side > short)):
            break
        sides = own or [min(side, max(8, short // 4 * 4))] * 3
        network = {"name": "unet", "width": width, "levels": [1, 2], "blocks": 1, "patch": 2 ** max(0, round(math.log2(max(sides) / grid)))}
        if (sides, network) == chosen[:2]:
            continue
        recipe = {"network": network, "conditions": [{"name": "label"}] if labels else [], "predict": "x0", "train": training(found.count, STEPS * BATCHES[0])}
        rate = speed(recipe, (channels, *sides), labels)
        measured.append(f"{width} wide, {' x '.join(map(str, sides))} by patches of {network['patch']}: {rate:,.1f} volumes/s")
        if chosen[1] and SPENT * 60 * minutes * rate < wanted:
            break
        chosen = sides, network, rate
    kept = "all volumes have it, and keep it" if own else f"the largest that is not too slow, of at most {most} here; volumes are stretched to it"
    reasons.append(f"size: {' x '.join(map(str, chosen[0]))}, {kept}")
    reasons.append(f"network: the largest of these that sees enough volumes in {minutes:g} minutes, as measured here: {'; '.join(measured)}")
    return chosen
