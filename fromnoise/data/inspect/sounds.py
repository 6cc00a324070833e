"""What a folder of sounds holds, and a recipe that suits it: log-mel spectrograms, diffused by a UNet."""

import math
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import Problem
from ..files.folder import in_threads, named
from ..files.listing import split_listing
from ..files.sounds import SOUNDS
from ..files.waves import about
from .inspect import counted, of_broken
from .latents import Speed
from .propose import SPENT, flow, seen, train

HELD_OUT = 0.05  # as `sound` does unless it is said
FRAME, WINDOWS, MELS = 0.016, 3, 64  # seconds from one window to the next, how many of these a window is long, and bands
MULTIPLE, MOST = 16, 512  # frames: of which their number is one, and at most
FIRST_WORD = r"([^_/]+)_[^/]*$"  # of a file's name
KINDS, LEAST = (2, 100), 5  # classes that such words may be, and examples of each
NETWORK = {"name": "unet", "width": 32, "levels": [1, 2, 3], "blocks": 1, "patch": 2, "attention": [1, 2], "head": 32, "positions": True}


@dataclass(frozen=True)
class Sounding:
    """What a folder of sounds holds, by the headers of its files."""

    path: Path
    rates: Counter[int]
    channels: Counter[int]
    seconds: tuple[float, ...]  # rising
    labels: Mapping[str, int] = field(default_factory=dict)
    from_names: bool = False  # whether these are the first words of the files' names
    broken: Mapping[str, str] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    held_out: int = 0  # sounds in a test folder of their own

    def rows(self) -> list[tuple[str, str]]:
        """What it holds, a row for each question."""
        low, middle, high = self.seconds[0], statistics.median(self.seconds), self.seconds[-1]
        return [
            ("path", f"{self.path} (sound)"),
            ("sounds", f"{len(self.seconds):,}" + (f" and {self.held_out:,} in a test folder" if self.held_out else "")),
            ("seconds", f"{low:.2f} to {high:.2f}, median {middle:.2f}; {sum(self.seconds) / 60:,.1f} minutes in all"),
            ("rate", counted({f"{rate} Hz": n for rate, n in self.rates.items()})),
            ("channels", counted({str(count): n for count, n in self.channels.items()})),
            ("labels", f"{len(self.labels)} classes{' by names' * self.from_names}: {counted(self.labels)}" if self.labels else "none"),
            ("broken", str(len(self.broken))),
        ]

    def warnings(self) -> list[str]:
        """What to check before training, one line each."""
        return [f"left out: {line}" for line in self.left_out] + of_broken(self.broken)


def inspect(path: str | Path) -> Sounding:
    """What the sounds in a folder are. Raises Problem where none can be read."""
    path = Path(path).expanduser().absolute()
    whole, test = split_listing(path, True, "test", HELD_OUT, SOUNDS)
    found, broken = in_threads(about, whole, "reading headers of sounds")
    if not found:
        raise Problem(f"none of the {len(broken)} sounds in {path} can be read ({named(broken)}); replace them")
    labels = Counter[str]() if whole.label is None else Counter(whole.classes[i] for i in whole.label)
    words = Counter(match[1] for name in found if (match := re.search(FIRST_WORD, name)))
    by_names = not labels and all(re.search(FIRST_WORD, name) for name in whole.files) and KINDS[0] <= len(words) <= KINDS[1] and min(words.values()) >= LEAST
    return Sounding(
        path, Counter(wave.rate for wave in found.values()), Counter(wave.channels for wave in found.values()),
        tuple(sorted(wave.frames / wave.rate for wave in found.values())), dict(sorted((words if by_names else labels).items())), by_names, broken,
        whole.left_out, len(test) if test.root != whole.root else 0,
    )  # fmt: skip


def proposals(found: Sounding, minutes: float, speed: Speed, name: str) -> dict[str, str]:
    """The recipe for what was found, {name: YAML}, with the reasons as comments; `speed` measures its network."""
    (rate, _), reasons = found.rates.most_common(1)[0], list[str]()
    hop, usual = max(2, round(FRAME * rate)), found.seconds[int(0.95 * (len(found.seconds) - 1))]
    frames = min(MOST, MULTIPLE * max(1, math.ceil(usual * rate / hop / MULTIPLE)))
    reasons.append(f"seconds: 95 % of the sounds are no longer than {usual:.2f} s" + (f"; {MOST} frames at most" if frames == MOST else ""))
    data: dict[str, Any] = {"name": "sound", "path": str(found.path), "rate": rate, "seconds": round(frames * hop / rate, 6), "trim": 40, "loudness": -20}
    reasons.append("trim, loudness: silence at the ends is cut off, and all are brought to one level; leave them out where those matter")
    if len(found.rates) > 1:
        data["resample"] = True
        reasons.append(f"resample: the sounds have {len(found.rates)} rates, and {rate} Hz is the most common")
    if len(found.channels) > 1 or max(found.channels) > 1:
        data["mono"] = True
        reasons.append("mono: channels are mixed; take that away to learn all of them, where each file has as many")
    if found.from_names:
        data["label_from"] = FIRST_WORD
        reasons.append(f"label_from: the names begin with {len(found.labels)} words ({', '.join([*found.labels][:3])}, …), which may be classes")
    if found.broken:
        data["skip_broken"] = True
        reasons.append("skip_broken: some files cannot be read and are left out")
    labels, count = len(found.labels) if len(found.labels) > 1 else 0, len(found.seconds)
    stage = {"name": "mel", "rate": rate, "mels": MELS, "window": WINDOWS * hop // 2 * 2, "hop": hop}
    conditions, own = [{"name": "label", "drop": 0.1}] * bool(labels), {"batch": 64, "optimizer": "muon", "lr": 5e-3, "warmup": 3200}
    images = max(1, int(SPENT * 60 * minutes * speed({"network": NETWORK, "conditions": conditions, "train": own}, (1, MELS, frames), labels)))
    own = {key: value for key, value in train(count, images, reasons).items() if key != "weight"}  # which is of errors in pictures
    reasons.append(seen(count, images, minutes, "sound"))
    return {name: "\n".join([
        "# Proposed by `fromnoise data inspect`; the reasons:", *(f"#   {reason}" for reason in reasons),
        f"data:        {flow(data)}", f"autoencoder: {flow(stage)}", f"network:     {flow(NETWORK)}",
        *(["conditions:  [{name: label, drop: 0.1}]"] if labels else []), "predict:     v", "noise:       {name: cosine}",
        f"train:       {flow({'minutes': minutes, **own})}",
        f"sample:      {{name: unipc, steps: 20{', guidance: 2, rescale: 0.7' if labels else ''}}}", "seed: 0\n",
    ])}  # fmt: skip
