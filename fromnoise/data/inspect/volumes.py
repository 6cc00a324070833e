"""What a folder or file of volumes holds, and a recipe that suits it: a UNet on three axes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Problem
from ..files.folder import in_threads, named
from ..files.header import Broken
from ..files.listing import split_listing
from ..files.scans import VOLUMES, read, several
from ..files.volumes import SHARES
from .inspect import labelled, of_broken
from .latents import Speed
from .propose import SPENT, flow, seen, train

EDGES = (64, 48, 32, 24, 16)  # voxels a side that are proposed, the first at which volumes are seen often enough
TIMES = 20  # that a volume should be seen
NETWORK = {"name": "unet", "width": 32, "levels": [1, 2, 3], "blocks": 1, "attention": [2], "patch": 2}
SEEN = 100_000  # values of each volume of which percentiles are taken


@dataclass(frozen=True)
class Scanned:
    """What volumes there are: shapes (D, H, W) with their numbers, channels, the values' range and percentiles."""

    path: Path
    shapes: Mapping[tuple[int, ...], int]
    channels: int
    range: tuple[float, float]
    window: tuple[float, float]
    labels: Mapping[str, int]
    broken: Mapping[str, str]
    left_out: Sequence[str] = ()

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.shapes.values())

    def rows(self) -> list[tuple[str, str]]:
        """What there is, a row for each question."""
        sizes = ", ".join(f"{n:,} of {'x'.join(map(str, shape))}" for shape, n in Counter(self.shapes).most_common(3))
        return [
            ("path", f"{self.path} (volumes)"), ("volumes", f"{self.count:,}"), ("channels", str(self.channels)),
            ("voxels", sizes + ", …" * (len(self.shapes) > 3)), ("values", f"{self.range[0]:.5g} to {self.range[1]:.5g}"),
            ("window", f"{self.window[0]:.5g} to {self.window[1]:.5g}, the {SHARES[0]} and {SHARES[1]} percentiles"),
            ("labels", labelled(self.labels)), ("broken", str(len(self.broken))),
        ]  # fmt: skip

    def warnings(self) -> list[str]:
        """What to check before training, one line each."""
        return [f"left out: {line}" for line in self.left_out] + of_broken(self.broken)


def inspect(path: str | Path) -> Scanned:
    """What the volumes at a path are. Raises Problem where none can be read, or they differ in channels."""
    path = Path(path).expanduser().absolute()
    labels, broken, left_out = Counter[str](), dict[str, str](), ()
    if path.is_file():
        try:
            x, numbers = several(path)
        except Broken as error:
            raise Problem(f"{path.name} cannot be read: {error}") from error
        found, labels = [_numbers(one) for one in x], Counter(map(str, [] if numbers is None else numbers.tolist()))
    else:
        whole = split_listing(path, True, "train", 0.0, VOLUMES)[0]
        good, broken = in_threads(lambda name: _numbers(read(name)), whole, "reading volumes")
        found, left_out = list(good.values()), whole.left_out
        labels = Counter[str]() if whole.label is None else Counter(whole.classes[i] for i in whole.label)
    if not found:
        raise Problem(f"none of the {len(broken)} volumes in {path} can be read ({named(broken)}); replace them")
    if len(kinds := {shape[0] for shape, _ in found}) > 1:
        raise Problem(f"the volumes have {' or '.join(map(str, sorted(kinds)))} channels; keep those of a kind in a folder of their own")
    values = np.concatenate([some for _, some in found])
    low, high = np.percentile(values, SHARES).tolist()
    return Scanned(path, Counter(shape[1:] for shape, _ in found), found[0][0][0], (float(values.min()), float(values.max())), (low, high), labels, broken, left_out)


def _numbers(x: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """Of a volume (C, D, H, W) its shape, and some of its values."""
    values = x.ravel()
    return x.shape, np.concatenate([values[:: -(-values.size // SEEN)], [values.min(), values.max()]])


def proposals(found: Scanned, minutes: float, speed: Speed, name: str) -> dict[str, str]:
    """The recipe for what was found, {name: YAML}, with the reasons as comments; `speed` measures its network."""
    reasons, labels = list[str](), len(found.labels) if len(found.labels) > 1 else 0
    conditions = [{"name": "label", "drop": 0.1}] * bool(labels)
    longest = max(max(shape) for shape in found.shapes)
    tried = [edge for edge in EDGES if edge <= max(longest, EDGES[-1])]
    recipe = {"network": NETWORK, "conditions": conditions, "predict": "v", "train": {"batch": 16, "optimizer": "muon", "lr": 5e-3}}
    for edge in reversed(tried):  # the cheapest first, until one is too slow
        often = int(SPENT * 60 * minutes * speed(recipe, (found.channels, *[edge] * 3), labels))
        if edge == tried[-1] or often >= TIMES * found.count:
            size, images = edge, max(1, often)
        if often < TIMES * found.count:
            break
    why = f"the largest at which each is seen {TIMES} times or more" if images >= TIMES * found.count else f"with no time for {TIMES} looks at each of larger ones"
    reasons.append(f"size: {size} voxels a side, {why}; what is not a cube is stretched")
    low, high = (float(f"{value:.4g}") for value in found.window)
    data: dict[str, Any] = {"name": "volumes", "path": str(found.path), "size": size}
    if low < high and found.channels == 1:
        data["window"] = [low, high]
        reasons.append(f"window: {SHARES[0]} to {SHARES[1]} % of all values; narrow it to what matters, such as [-160, 240] for soft tissue in a CT")
    if found.broken:
        data["skip_broken"] = True
        reasons.append("skip_broken: files that cannot be read are left out")
    own = {key: value for key, value in train(found.count, images, reasons).items() if key != "weight"}  # which is of errors in pictures
    network = NETWORK if size > 16 else NETWORK | {"levels": [1, 2], "attention": [1]}
    if images / found.count > 100:
        network = network | {"dropout": 0.1}
    reasons.append(seen(found.count, images, minutes, "volume"))
    return {name: "\n".join([
        "# Proposed by `fromnoise data inspect`; the reasons:", *(f"#   {reason}" for reason in reasons),
        f"data:       {flow(data)}", f"network:    {flow(network)}", *(["conditions: [{name: label, drop: 0.1}]"] if labels else []),
        "predict:    v", "noise:      {name: cosine}", f"train:      {flow({'minutes': minutes, **own})}",
        "sample:     {name: unipc, steps: 20}", "seed: 0\n",
    ])}  # fmt: skip
