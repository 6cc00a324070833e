"""What a folder or file of signals holds, channel by channel, and a recipe that suits it: a UNet on one axis."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Problem
from ..files.folder import in_threads, named
from ..files.listing import Listing, split_listing
from ..files.series import SIGNALS, Series, read
from .inspect import copies, labelled, of_broken, of_duplicates
from .latents import Speed
from .propose import SPENT, flow, seen, train

HELD_OUT = 0.05  # as `signals` does unless it is said
MOST, CYCLES, ENOUGH = 1024, 4, 200  # samples of an example; periods that it should hold; examples that there should be
NETWORK = {"name": "unet", "width": 32, "levels": [1, 2, 3], "blocks": 1, "attention": [1, 2], "head": 32, "positions": True}
PLAIN = 0.2  # of a channel's autocorrelation, above which a period is one


@dataclass(frozen=True)
class Channel:
    """One channel of all signals."""

    name: str
    low: float
    high: float
    mean: float
    spread: float
    period: float  # samples; 0 where there is none
    clock: bool  # whether it counts time: it rises by the same step always

    def __str__(self) -> str:
        period = f", period {self.period:.1f} samples" if self.period else ""
        what = "constant" if self.low == self.high else f"mean {self.mean:.4g}, spread {self.spread:.4g}{period}"
        return f"{self.low:.4g} to {self.high:.4g}, {what}{', which counts time' * self.clock}"


@dataclass(frozen=True)
class Sampled:
    """What signals there are."""

    path: Path
    channels: tuple[Channel, ...]
    lengths: tuple[int, ...]  # rising
    named: bool  # whether channels have names
    decimal: str = "."
    labels: Mapping[str, int] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    duplicates: tuple[tuple[str, ...], ...] = ()
    left_out: Sequence[str] = ()

    @property
    def useful(self) -> list[Channel]:
        """Channels that are no clock, and change."""
        return [channel for channel in self.channels if not channel.clock and channel.low < channel.high]

    def rows(self) -> list[tuple[str, str]]:
        """What there is, a row for each question."""
        low, middle, high = self.lengths[0], statistics.median(self.lengths), self.lengths[-1]
        return [
            ("path", f"{self.path} (signals)"),
            ("signals", f"{len(self.lengths):,}"),
            ("length", f"{low:,} samples" if low == high else f"{low:,} to {high:,} samples, median {middle:,.0f}"),
            *((f"channel {channel.name}", str(channel)) for channel in self.channels),
            ("labels", labelled(self.labels)),
            ("broken", str(len(self.broken))),
            ("duplicates", str(copies(self.duplicates))),
        ]

    def warnings(self) -> list[str]:
        """What to check before training, one line each."""
        lines = [f"left out: {line}" for line in self.left_out]
        lines += of_broken(self.broken)
        lines += [f"channel {channel.name} is constant, and nothing to learn" for channel in self.channels if channel.low == channel.high]
        return lines + of_duplicates(self.duplicates)


def inspect(path: str | Path) -> Sampled:
    """What the signals at a path are. Raises Problem where none can be read, or they differ in channels."""
    path = Path(path).expanduser().absolute()
    whole = Listing(path.parent, (path.name,)) if path.is_file() else split_listing(path, True, "train", 0.0, SIGNALS)[0]
    decimal = "."
    found, broken = in_threads(read, whole, "reading signals")
    if broken and all("decimal comma" in reason for reason in broken.values()):
        decimal = ","
        found, broken = in_threads(partial(read, decimal=decimal), whole, "reading signals")
    if not found:
        raise Problem(f"none of the {len(broken)} signals in {path} can be read ({named(broken)}); replace them")
    counts = Counter(series.x.shape[1] for series in found.values())
    if len(counts) > 1:
        most = counts.most_common(1)[0][0]
        odd = {name: f"{series.x.shape[1]}" for name, series in found.items() if series.x.shape[1] != most}
        raise Problem(f"{len(odd)} of {len(found)} signals have other channels than the {most} of the rest ({named(odd)}); keep them in a folder of their own")
    names = next(iter(found.values())).names
    channels = tuple(_channel(name, [x[i] for series in found.values() for x in series.x]) for i, name in enumerate(names or map(str, range(next(iter(counts))))))
    labels = Counter[str]() if whole.label is None else Counter(whole.classes[i] for i in whole.label)
    return Sampled(path, channels, tuple(sorted(x.shape[1] for series in found.values() for x in series.x)), bool(names), decimal, labels, broken,
                   _alike(found), whole.left_out)  # fmt: skip


def _alike(found: Mapping[str, Series]) -> tuple[tuple[str, ...], ...]:
    """Groups of files that hold the same numbers."""
    groups = defaultdict(list)
    for name, series in found.items():
        groups[series.x.tobytes()].append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _channel(name: str, parts: Sequence[np.ndarray]) -> Channel:
    """A channel of all signals, (L,) each."""
    whole = np.concatenate(parts)
    steps = np.concatenate([np.diff(part) for part in parts if len(part) > 1] or [np.zeros(1)])
    clock = bool(steps.min() > 0 and np.ptp(steps) <= 1e-3 * steps.mean())
    periods = [found for part in parts[:ENOUGH] if (found := period(part))]
    usual = statistics.median(periods) if not clock and 2 * len(periods) >= len(parts[:ENOUGH]) else 0.0
    return Channel(name, float(whole.min()), float(whole.max()), float(whole.mean()), float(whole.std()), usual, clock)


def period(x: np.ndarray) -> float:
    """Samples until a signal (L,) comes nearest to itself again: the first high peak of its autocorrelation, by a parabola between samples; 0 where none is."""
    x = x - x.mean()
    length, half = len(x), len(x) // 2
    power = float(x @ x)
    if half < 3 or not power:
        return 0.0
    r = np.fft.irfft(np.abs(np.fft.rfft(x, 2 * length)) ** 2, 2 * length)[: half + 1] / power * length / (length - np.arange(half + 1))
    below = np.flatnonzero(r < 0)
    peaks = [i for i in range(int(below[0]) if len(below) else half, half) if r[i - 1] < r[i] >= r[i + 1] and r[i] > PLAIN]
    if not peaks:
        return 0.0
    at = next(i for i in peaks if r[i] > 0.9 * max(r[j] for j in peaks))
    bend = r[at - 1] - 2 * r[at] + r[at + 1]
    return float(at + (0.5 * (r[at - 1] - r[at + 1]) / bend if bend else 0.0))


def proposals(found: Sampled, minutes: float, speed: Speed, name: str) -> dict[str, str]:
    """The recipe for what was found, {name: YAML}, with the reasons as comments; `speed` measures its network."""
    reasons, data = list[str](), {"name": "signals", "path": str(found.path)}
    if not found.useful:
        raise Problem(f"no channel of {found.path} changes; there is nothing to learn")
    own: dict[str, Any] = dict(data)
    if len(found.useful) < len(found.channels):
        own["columns"] = [channel.name if found.named else int(channel.name) for channel in found.useful]
        reasons.append("columns: channels that count time, or are constant, are left out")
    length = _length(found, reasons)
    whole = sum(size // length for size in found.lengths)
    own["length"] = length
    stride = max(1, length // 4) if whole < ENOUGH and found.lengths[-1] > length else length
    if stride < length:
        own["stride"] = stride
        reasons.append(f"stride: {whole:,} examples would be few, so that they overlap")
    if found.decimal != ".":
        own["decimal"] = found.decimal
    if found.broken or found.lengths[0] < length:
        own["skip_broken"] = True
        reasons.append("skip_broken: files that cannot be read, and signals shorter than an example, are left out")
    count = sum(1 + (size - length) // stride for size in found.lengths if size >= length)
    labels = len(found.labels) if len(found.labels) > 1 else 0
    network = {**NETWORK, "patch": 2 ** max(0, round(math.log2(length / 64)))}
    conditions = [{"name": "label", "drop": 0.1}] * bool(labels)
    recipe = {"network": network, "conditions": conditions, "train": {"batch": 64, "optimizer": "muon", "lr": 5e-3, "warmup": 3200}}
    images = max(1, int(SPENT * 60 * minutes * speed(recipe, (len(found.useful), length), labels)))
    training = {key: value for key, value in train(count, images, reasons).items() if key != "weight"}  # which is of errors in pictures
    reasons.append(seen(count, images, minutes, "signal"))
    return {name: "\n".join([
        "# Proposed by `fromnoise data inspect`; the reasons:", *(f"#   {reason}" for reason in reasons),
        f"data:       {flow(own)}", f"network:    {flow(network)}", *(["conditions: [{name: label, drop: 0.1}]"] if labels else []),
        "predict:    v", "noise:      {name: cosine}", f"train:      {flow({'minutes': minutes, **training})}",
        "sample:     {name: unipc, steps: 20}", "seed: 0\n",
    ])}  # fmt: skip


def _length(found: Sampled, reasons: list[str]) -> int:
    """Samples of an example."""
    low, high = found.lengths[0], found.lengths[-1]
    if low == high <= MOST and len(found.lengths) > 1:
        reasons.append(f"length: all signals have {low:,} samples, and stay whole")
        return low
    longest, usual = max(channel.period for channel in found.useful), found.lengths[len(found.lengths) // 20]
    wanted = CYCLES * longest if longest else usual / (20 if len(found.lengths) == 1 else 1)
    length = max(8, min(MOST, usual if len(found.lengths) > 1 else max(8, usual // 8), 16 * math.ceil(wanted / 16)))
    why = f"{CYCLES} periods of the slowest channel, {longest:.0f} samples, as far as the signals are as long" if longest else "as long as nearly all signals are"
    reasons.append(f"length: {why}; {MOST:,} at most")
    return min(length, high)
