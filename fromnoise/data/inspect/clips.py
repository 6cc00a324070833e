"""What a folder of films holds, and a recipe that suits it: clips of a length, a rate and a size that a network learns in the minutes that there are."""

import hashlib
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ...errors import Problem
from ..files.films import CLIPS, COLOURED, Film, film, read
from ..files.folder import in_threads, named, without
from ..files.listing import holds, split_listing
from ..files.pictures import Look
from .inspect import captioned, copies, counted, labelled, of_broken, of_duplicates
from .latents import Speed
from .mixed import SIDE, STILL, among
from .propose import SPENT, STEPS, flow, mirrored, seen

HELD_OUT = 0.05  # as `clips` does unless it is said
SEEN = 8  # frames of a film that are decoded
FRAMES, LEAST, RATE = 16, 4, 8.0  # of a clip, at least, and how many a second where films are long enough
ON_CPU, ON_GPU = 32, 64  # the largest side proposed
MANY = 2_000  # clips, of which fewer overlap: one begins every quarter of its length
NETWORKS = (  # (side of frames, of the grid that the first level works on, width, clips that it should see at least)
    (16, 8, 32, 0), (16, 16, 32, 2_500), (32, 16, 32, 5_000), (32, 32, 32, 40_000), (32, 32, 64, 150_000), (64, 32, 64, 300_000),
)  # fmt: skip
BATCHES, FEWEST = (8, 16, 32), 300  # steps, fewer of which learn little


@dataclass(frozen=True)
class Footage:
    """What a folder of films holds."""

    path: Path
    films: Mapping[str, Film]
    coloured: bool
    labels: Mapping[str, int] = field(default_factory=dict)
    captions: Sequence[str] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
    duplicates: Sequence[Sequence[str]] = ()  # groups of names whose frames are the same
    still: Sequence[str] = ()  # films that hardly move
    pictures: int = 0  # that are beside them
    left_out: Sequence[str] = ()
    held_out: int = 0  # films in a test folder of their own

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """(width, height) -> films."""
        return Counter((about.head.width, about.head.height) for about in self.films.values())

    @property
    def rates(self) -> list[float]:
        """The rates of films that have one, rising."""
        return sorted(about.rate for about in self.films.values() if about.rate)

    def rows(self) -> list[tuple[str, str]]:
        """What it holds, a row for each question."""
        lengths, sizes = sorted(map(len, self.films.values())), sorted(self.sizes.elements(), key=lambda size: size[0] * size[1])
        seconds = sorted(about.end for about in self.films.values() if about.timed)
        kinds = Counter("folders of frames" if "." not in Path(name).name else Path(name).suffix.lower() for name in self.films)
        uneven = sum(about.timed and not about.even for about in self.films.values())
        spans = f"{seconds[0]:.2f} to {seconds[-1]:.2f}, median {statistics.median(seconds):.2f}" if seconds else "not known of numbered frames"
        return [
            ("path", f"{self.path} (clips)"),
            ("films", f"{len(self.films):,} ({counted(kinds)})" + (f" and {self.held_out:,} in a test folder" if self.held_out else "")),
            ("frames", f"{lengths[0]} to {lengths[-1]}, median {statistics.median(lengths):g}; {sum(lengths):,} in all"),
            ("seconds", spans),
            ("rate", counted({f"{rate:.3g} a second": n for rate, n in Counter(round(rate, 1) for rate in self.rates).most_common()}) or "not known"),
            ("uneven", f"{uneven} films show some frames longer than others"),
            ("size", f"{sizes[0][0]}x{sizes[0][1]}" + (f" to {sizes[-1][0]}x{sizes[-1][1]}" if len(self.sizes) > 1 else "")),
            ("colour", "yes" if self.coloured else "grey"),
            ("labels", labelled(self.labels)),
            ("captions", captioned(self.captions)),
            ("broken", str(len(self.broken))),
            ("duplicates", str(copies(self.duplicates))),
            ("hardly move", str(len(self.still))),
        ]

    def warnings(self) -> list[str]:
        """What to check before training, one line each."""
        lines = [f"left out: {line}" for line in self.left_out]
        if self.pictures:
            lines.append(f"{self.pictures:,} single pictures lie beside the films and are not read; inspect them in a folder of their own")
        lines += of_broken(self.broken) + of_duplicates(self.duplicates)
        if self.still:
            lines.append(f"{len(self.still)} hardly move (such as {self.still[0]}): a network learns stillness from them")
        return lines


class _Facts(NamedTuple):
    """What one film holds."""

    about: Film
    digest: bytes
    change: float
    coloured: bool


def inspect(path: str | Path) -> Footage:
    """What the films in a folder are, some frames of each decoded. Raises Problem where none can be read."""
    path = Path(path).expanduser().absolute()
    alone = holds(path, CLIPS) == 1
    whole, test = split_listing(path, True, "train" if alone else "test", 0.0 if alone else HELD_OUT, CLIPS)
    found, broken = in_threads(_examined, whole, "reading films")
    if not found:
        raise Problem(f"none of the {len(broken)} films in {path} can be read ({named(broken)}); replace them")
    groups: dict[bytes, list[str]] = defaultdict(list)
    for name, facts in found.items():
        groups[facts.digest].append(name)
    kept = without(whole, broken)
    labels = {} if kept.label is None else {name: kept.label.count(i) for i, name in enumerate(kept.classes)}
    return Footage(
        path, {name: facts.about for name, facts in found.items()}, any(facts.coloured for facts in found.values()), labels, kept.text or (), broken,
        [group for group in groups.values() if len(group) > 1], [name for name, facts in found.items() if facts.change < STILL],
        among(path).pictures, whole.left_out, len(test) if test.root != whole.root else 0,
    )  # fmt: skip


def _examined(file: str) -> _Facts:
    about = film(file)
    frames = read(file, about, np.unique(np.linspace(0, len(about) - 1, SEEN).round().astype(int)), Look((SIDE, SIDE), "rgb", "resize")).astype(np.int16)
    change = max((float(np.abs(frames[i] - frames[0]).mean()) / 255 for i in range(1, len(frames))), default=0.0)
    digest = hashlib.blake2b(frames.tobytes() + repr((len(about), about.head.width, about.head.height)).encode(), digest_size=12).digest()
    return _Facts(about, digest, change, bool((frames.max(1) - frames.min(1)).max() > COLOURED))


def proposals(found: Footage, minutes: float, speed: Speed, name: str) -> dict[str, str]:
    """The recipe for what was found, {name: YAML}, with the reasons as comments; `speed` measures networks, the cheapest first, until one is too slow."""
    reasons: list[str] = []
    data, count = _cut(found, reasons)
    data = {"name": "clips", "path": str(found.path), **data}
    labels = len(found.labels) if len(found.labels) > 1 else 0
    sides, network, rate = _network(found, data["frames"], labels, count, minutes, speed, reasons)
    data |= {"size": sides if sides[0] != sides[1] else sides[0]}
    if len(found.sizes) > 1 or list(next(iter(found.sizes)))[::-1] != sides:
        data["fit"] = "crop"
        reasons.append("fit: crop cuts the ends off frames of another shape; pad would show all of them, with bars")
    data["channels"] = "rgb" if found.coloured else "grey"
    if found.broken:
        data["skip_broken"] = True
        reasons.append("skip_broken: some films cannot be read and are left out")
    data["flip"] = mirrored(found.coloured, min(sides), found.captions, reasons)
    own = paced(count, rate, minutes, "clip", reasons)
    if found.captions:
        reasons.append(f"captions: {len(found.captions):,} are there; this recipe does not use them")
    return {name: written(reasons, data, network, {"minutes": minutes, **own}, labels)}


def written(reasons: Sequence[str], data: Mapping[str, Any], network: Mapping[str, Any], own: Mapping[str, Any], labels: int) -> str:
    """The recipe of examples that are dear to compute, as YAML with the reasons as comments; own: its `train`; labels: how many classes, 0 for none."""
    return "\n".join([
        "# Proposed by `fromnoise data inspect`; the reasons:", *(f"#   {reason}" for reason in reasons),
        f"data:       {flow(data)}", f"network:    {flow(network)}",
        *(["conditions: [{name: label, drop: 0.1}]"] if labels else []), "predict:    x0", "noise:      {name: cosine}",
        f"train:      {flow(own)}",
        f"sample:     {{name: unipc, steps: 20{', guidance: 2, rescale: 0.7' if labels else ''}}}", "seed: 0\n",
    ])  # fmt: skip


def paced(count: int, rate: float, minutes: float, what: str, reasons: list[str]) -> dict[str, Any]:
    """The settings of so many minutes' training on `count` examples that are dear to compute, `rate` a second, but for the minutes."""
    examples = max(1, int(SPENT * 60 * minutes * rate))
    own = training(count, examples)
    reasons.append(f"batch: {own['batch']}, so that about {examples:,} {what}s make {examples // own['batch']:,} steps")
    if examples < FEWEST * own["batch"]:
        reasons.append(f"minutes: these steps are few; about {math.ceil(FEWEST * own['batch'] / (SPENT * 60 * rate)):,} minutes make {FEWEST}")
    reasons.append(seen(count, examples, minutes, what))
    return own


def _cut(found: Footage, reasons: list[str]) -> tuple[dict[str, Any], int]:
    """(how films become clips, how many these are)."""
    films, rates = [*found.films.values()], found.rates
    middle = rates[len(rates) // 2] if rates else 0.0
    alike = not rates or (rates[-1] - rates[0] <= 0.1 * middle and all(about.even for about in films) and len(rates) == len(films))
    steps = range(max(1, round(middle / RATE)), 0, -1)
    cuts: list[dict[str, Any]] = [({"stride": n} if n > 1 else {}) if alike else {"rate": round(middle / n, 2)} for n in steps]
    ways = [(n, cut, [len(about.numbers(**cut)) for about in films]) for n, cut in zip(steps, cuts, strict=True)]
    stride, cut, lengths = next((way for way in ways if _usual(way[2]) >= FRAMES), ways[-1])
    usual = _usual(lengths)
    frames = FRAMES if usual >= FRAMES else max(min(LEAST, max(lengths)), usual // LEAST * LEAST)
    reasons.append(f"frames: {frames}; nine films of ten have {usual} or more" + (" at this rate" if stride > 1 or not alike else ""))
    if alike and stride > 1:
        reasons.append(f"stride: one frame of every {stride}, for {middle / stride:.3g} a second rather than {middle:.3g}: a clip shows more of what happens")
    elif not alike:
        reasons.append(f"rate: films have {rates[0]:.3g} to {rates[-1]:.3g} frames a second, or uneven ones; {cut['rate']:g} brings them to one")
    hop = frames
    if sum(1 + (length - frames) // frames for length in lengths if length >= frames) < MANY:
        hop = max(1, frames // 4)
        reasons.append(f"hop: a clip begins every {hop} frames, since there are few films: clips of one film overlap")
    settings: dict[str, Any] = {"frames": frames, **cut, **({"hop": hop} if hop != frames else {})}
    if short := sum(length < frames for length in lengths):
        settings["skip_broken"] = True
        reasons.append(f"skip_broken: {short:,} films are shorter than a clip and are left out")
    return settings, sum(1 + (length - frames) // hop for length in lengths if length >= frames)


def _usual(lengths: Sequence[int]) -> int:
    """What nine of ten reach."""
    return sorted(lengths)[len(lengths) // 10]


def _network(
    found: Footage, frames: int, labels: int, count: int, minutes: float, speed: Speed, reasons: list[str]
) -> tuple[list[int], dict[str, Any], float]:
    """([height, width] of frames, the largest network that sees enough clips of these in the minutes that there are, clips a second)."""
    most, sizes = ON_GPU if torch.cuda.is_available() else ON_CPU, found.sizes
    (wide, high), *others = sizes
    own = [high, wide] if not others and max(wide, high) <= most else None  # all of one size, and small
    short = round(statistics.median(min(size) for size in sizes.elements()))
    chosen, measured = ([0, 0], {}, 0.0), []
    for side, grid, width, wanted in NETWORKS:
        if own is None and measured and side > min(short, most):
            break
        sides = own or [min(side, max(8, short // 4 * 4))] * 2
        patch = 2 ** max(0, round(math.log2(max(sides) / grid)))
        network: dict[str, Any] = {"name": "unet", "width": width, "levels": [1, 2, 2] if max(sides) // patch >= 16 else [1, 2], "blocks": 1}
        network |= {"patch": patch, "temporal": True}
        if (sides, network) == chosen[:2]:
            continue
        recipe = {"network": network, "conditions": [{"name": "label"}] if labels else [], "predict": "x0", "train": training(count, STEPS * BATCHES[0])}
        rate = speed(recipe, (3 if found.coloured else 1, frames, *sides), labels)
        measured.append(f"{width} wide on {-(-max(sides) // patch)} x {-(-max(sides) // patch)} of {sides[1]}x{sides[0]}: {rate:,.1f} clips/s")
        if chosen[1] and SPENT * 60 * minutes * rate < wanted:
            break
        chosen = sides, network, rate
    reasons.append(f"size: all films are {wide}x{high}, and stay so" if own else f"size: {chosen[0][0]}, the largest that is not too slow, of at most {most} here")
    reasons.append(f"network: the largest of these that sees enough clips in {minutes:g} minutes, as measured here: {'; '.join(measured)}")
    reasons.append("temporal: a network of pictures with layers over time, which may begin with one that has learnt pictures (base)")
    return chosen


def training(count: int, examples: int) -> dict[str, Any]:
    """The settings of training on `count` examples, so many seen in all, but for its length."""
    batch = max(1, min(max((b for b in BATCHES if examples >= STEPS * b), default=BATCHES[0]), count * 9 // 10))
    return {"batch": batch, "optimizer": "muon", "lr": 5e-3, "warmup": min(50 * batch, examples // 20), "weight": "sigmoid"}
