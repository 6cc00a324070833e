"""Your own volumes, such as scans: numbers on a grid in space, in a window of their own units."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...device import check_memory
from ...draws import mixed
from ...errors import Problem, Usage, Within
from ..dataset import Tensors, Wrapped, check_left, check_split
from ..sets.arrays import numbered
from ..units import Units
from .folder import in_threads, named, report_broken
from .header import Broken
from .listing import split_listing
from .published import located
from .scans import SMALLEST, VOLUMES, read, several

SHARES = (0.5, 99.5)  # percentiles of the values of training examples that a window goes from and to, unless it is said
SEEN = 10_000_000  # values of which percentiles are taken
Edge = Annotated[int, Within(SMALLEST, 1024)]


@final
class Volumes(Wrapped):
    """Your own volumes: a folder of NIfTI images (nii, nii.gz), npy or npz, (D, H, W) or (C, D, H, W), in class folders or none; or one npy or npz of several.

    An example is (C, D, H, W); NIfTI images are laid the same way round, from the head down, from the front back. Values in the window are learnt as [-1, 1] and
    those outside are clipped; what is sampled and measured has its own units again. Classes and splits are as in `folder`; volumes of one file are split by chance.

    size: voxels a side, or [D, H, W], that each is brought to, by averages where it is larger and between voxels where it is smaller, whatever its proportions;
    needed where the files differ. window: [low, high] in the files' units, such as [-160, 240] of a CT; the 0.5 and 99.5 percentiles of each channel of the
    training examples unless it is said. labels: false leaves classes out. held_out: share of the files that are the test split (folders named train and test
    decide it instead). skip_broken: leave out files that cannot be read. Raises Problem where these are there, or channels or sizes differ.
    """

    def __init__(
        self, path: str, size: Edge | Sequence[Edge] | None = None, window: Sequence[float] | None = None, labels: bool = True,
        held_out: float = 0.05, skip_broken: bool = False, split: str = "train",
    ):  # fmt: skip
        check_split(split, held_out)
        if window is not None and (len(window) != 2 or not window[0] < window[1]):
            raise Usage(f"data.window is [low, high] in the files' own units, low below high, not {list(window)}")
        root, sides = located(path), _sides(size)
        made = _of_file(root, sides, labels, split, held_out) if root.is_file() else _of_folder(root, sides, labels, split, held_out, skip_broken)
        x, learnt, number, classes, lines = made
        units = windowed(learnt, window)
        x = units.normalised(x)
        outside = float((x.abs() > 1).double().mean())
        base = Tensors("volumes", x.clamp_(-1, 1), number if classes else None, classes=classes)
        base.medium, base.units = "scans", units
        base.left_out = (*lines, *([f"{outside:.2%} of the voxels' values, which lie outside the window and are clipped to it"] if outside else []))
        super().__init__(base)


Made = tuple[Tensor, Tensor, Sequence[int] | None, tuple[str, ...], tuple[str, ...]]  # x, what is trained on, class numbers, classes, what is left out


def _sides(size: Any) -> tuple[int, ...] | None:
    sides = (size,) * 3 if isinstance(size, int) else size
    if sides is not None and len(sides) != 3:
        raise Usage(f"data.size is voxels a side, or [D, H, W], not {size!r}")
    return None if sides is None else tuple(sides)


def _of_folder(root: Path, sides: tuple[int, ...] | None, labels: bool, split: str, held_out: float, skip: bool) -> Made:
    whole, learnt = split_listing(root, labels, "train", held_out, VOLUMES)
    mine = learnt if split == "train" else split_listing(root, labels, split, held_out, VOLUMES)[1]
    found, lines = dict[Path, Tensor](), list(whole.left_out)
    for listing in {part.root: part for part in (mine, learnt, whole)}.values():  # of one folder, all
        volumes, broken = in_threads(partial(_sized_file, sides=sides), listing, "reading volumes")
        report_broken(broken, len(volumes), skip, VOLUMES.words)
        lines += [f"{len(broken):,} volumes cannot be read and are skipped ({named(broken)})"] if broken else []
        found |= {listing.root / name: volume for name, volume in volumes.items()}
    _check_alike(found)
    check_memory(f"{len(mine):,} volumes", 8 * len(mine) * next(iter(found.values())).numel())
    rows = [i for i, name in enumerate(mine.files) if mine.root / name in found]
    if not rows or not (trained := [found[learnt.root / name] for name in learnt.files if learnt.root / name in found]):
        raise Problem("no volume of a split can be read; add some, or change data.held_out")
    number = None if mine.label is None else [mine.label[i] for i in rows]
    return torch.stack([found[mine.root / mine.files[i]] for i in rows]), torch.stack(trained), number, whole.classes if number else (), tuple(lines)


def _sized_file(path: str, sides: tuple[int, ...] | None) -> Tensor:
    return sized(torch.from_numpy(read(path))[None], sides)[0]


def _of_file(root: Path, sides: tuple[int, ...] | None, labels: bool, split: str, held_out: float) -> Made:
    try:
        volumes, label = several(root)
    except Broken as error:
        raise Problem(f"{root.name} cannot be read: {error}") from error
    order = np.random.RandomState(mixed("volumes", 0) % 2**32).permutation(len(volumes))  # the legacy generator's stream never changes
    held = round(held_out * len(volumes)) or int(held_out > 0 and len(volumes) > 1)
    rows = {"test": np.sort(order[:held]), "train": np.sort(order[held:])}
    check_left(len(rows[split]), len(volumes), split, held_out)
    numbers, classes = numbered(label) if labels and label is not None else (None, ())
    x, learnt = (sized(torch.from_numpy(volumes[rows[part]]), sides) for part in (split, "train"))
    return x, learnt, None if numbers is None else numbers[rows[split]].tolist(), classes, ()


def sized(x: Tensor, sides: Sequence[int] | None) -> Tensor:
    """Volumes (N, C, D, H, W) of these sides: averages along axes that are longer, between voxels along those that are shorter."""
    if sides is None or tuple(x.shape[2:]) == tuple(sides):
        return x
    smaller = F.interpolate(x, [min(a, b) for a, b in zip(sides, x.shape[2:], strict=True)], mode="area")
    return F.interpolate(smaller, list(sides), mode="trilinear", align_corners=False)


def _check_alike(found: dict[Path, Tensor]) -> None:
    """Raises Problem where volumes differ in channels, or in size."""
    first = next(iter(found.values())).shape
    for name, volume in found.items():
        if len(volume) != first[0]:
            raise Problem(f"{name.name} has {len(volume)} channels, and {next(iter(found)).name} {first[0]}; keep them in folders of their own")
        if volume.shape != first:
            raise Problem(f"{name.name} is {tuple(volume.shape[1:])}, and {next(iter(found)).name} {tuple(first[1:])}; set data.size, as in data.size=64")


def windowed(x: Tensor, window: Sequence[float] | None) -> Units:
    """The units by which the window is [-1, 1], of each channel of volumes (N, C, D, H, W) their percentiles where it is not said; raises Problem where a channel
    is constant in it."""
    values = x.movedim(1, 0).flatten(1).numpy()
    values = values[:, :: -(-values.shape[1] // SEEN)]
    ends = np.tile(np.array(window, float), (len(values), 1)) if window is not None else np.percentile(values, SHARES, axis=1).T.astype(float)
    for i, (low, high) in enumerate(ends):
        if low == high and values[i].min() < values[i].max():  # nearly all is background
            ends[i] = low, high = float(values[i].min()), float(values[i].max())
        if not low < high or not ((values[i] > low) & (values[i] < high)).any() and np.unique(values[i].clip(low, high)).size < 2:
            there = f"goes from {values[i].min():g} to {values[i].max():g}"
            raise Problem(f"channel {i} is constant in the window {low:g} to {high:g}; it {there} in all that is trained on: set data.window to what matters")
    names = tuple(map(str, range(len(ends)))) if len(ends) > 1 else ("value",)
    return Units(names, tuple(ends.mean(1).tolist()), tuple((np.diff(ends)[:, 0] / 2).tolist()), clipped=True)
