"""What a text file, or a folder of them, holds, and a recipe that suits it: analog bits, diffused by a transformer."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import Problem
from ..files.lines import lines_of, text_files
from .inspect import counted
from .latents import Speed
from .propose import SPENT, flow, seen

MULTIPLE, MOST = 16, 256  # bytes: of which a line's length is one, and at most
SHORT = 10  # characters below which something is hardly a line
NETWORK = {"name": "dit", "width": 256, "depth": 6, "heads": 4, "patch": 1}


@dataclass(frozen=True)
class Reading:
    """What text there is, line by line."""

    path: Path
    files: Mapping[str, int]  # lines of each
    lengths: tuple[int, ...]  # in bytes, rising, each different line once
    again: int
    letters: int  # how many different ones
    first: str

    def rows(self) -> list[tuple[str, str]]:
        """What it holds, a row for each question."""
        low, middle, high = self.lengths[0], self.lengths[len(self.lengths) // 2], self.lengths[-1]
        return [
            ("path", f"{self.path} (lines)"), ("files", counted(self.files)),
            ("lines", f"{len(self.lengths):,}" + (f", and {self.again:,} that occur again" if self.again else "")),
            ("bytes", f"{low:,} to {high:,}, median {middle:,}"), ("letters", f"{self.letters:,} different ones"), ("such as", repr(self.first[:60])),
        ]  # fmt: skip

    def warnings(self) -> list[str]:
        """What to check before training, one line each."""
        found = []
        if len(self.lengths) < 1000:
            found.append(f"{len(self.lengths):,} lines are few: what is drawn will be those, or near them")
        if self.lengths[len(self.lengths) // 2] < SHORT:
            found.append("most lines are shorter than a word or two; an example is a line, so break text where a sentence ends")
        return found


def inspect(path: str | Path) -> Reading:
    """What the lines of text below a path are. Raises Problem where there are none."""
    path = Path(path).expanduser().absolute()
    files, different = Counter[str](), Counter[str]()
    for file in text_files(path)[0]:
        for line in lines_of(file):
            files[file.name] += 1
            different[line] += 1
    if not different:
        raise Problem(f"{path} is empty: it holds no line of text; write one example on each line")
    lengths = tuple(sorted(len(line.encode()) for line in different))
    return Reading(path, files, lengths, different.total() - len(different), len(set().union(*different)), next(iter(different)))


def proposals(found: Reading, minutes: float, speed: Speed, name: str) -> dict[str, str]:
    """The recipe for what was found, {name: YAML}, with the reasons as comments; `speed` measures its network."""
    usual, reasons = found.lengths[int(0.95 * (len(found.lengths) - 1))], list[str]()
    length = min(MOST, -(-usual // MULTIPLE) * MULTIPLE)
    longer = sum(size > length for size in found.lengths)
    reasons.append(f"length: 95 % of the lines are no longer than {usual:,} bytes" + (f"; {MOST} at most" if length < usual else ""))
    data = {"name": "lines", "path": str(found.path), "length": length}
    if longer:
        data["wrap"] = True
        reasons.append(f"wrap: longer lines, {longer:,} of them, are broken at words; take that away to leave them out")
    own = {"batch": 64, "optimizer": "muon", "lr": 4e-3, "warmup": 6400, "ema": 100_000}
    recipe = {"network": NETWORK, "conditions": [], "self_condition": True, "predict": "x0", "train": own}
    images = max(1, int(SPENT * 60 * minutes * speed(recipe, (8, length), 0)))
    own["warmup"] = min(own["warmup"], images // 10)
    reasons.append("autoencoder: bits, the eight of every byte, which wants no training of its own; `tokens` learns what is diffused (recipe captions_ae)")
    reasons.append("spelling is learnt last: after 80,000 lines a quarter of the words are real")
    reasons.append(seen(len(found.lengths), images, minutes, "line"))
    return {name: "\n".join([
        "# Proposed by `fromnoise data inspect`; the reasons:", *(f"#   {reason}" for reason in reasons),
        f"data:        {flow(data)}", "autoencoder: bits", f"network:     {flow(NETWORK)}", "predict:     x0", "noise:       {name: cosine}",
        "self_condition: true", f"train:       {flow({'minutes': minutes, **own})}", "sample:      {name: ddpm, steps: 100}", "seed: 0\n",
    ])}  # fmt: skip
