"""Your own volumes, such as CT and MR scans, as examples of one size, their values within a window."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, final

import numpy as np
import torch

from ...device import check_memory
from ...errors import Problem, Usage, Within
from ..dataset import Tensors, Wrapped, by_chance, check_split
from ..units import Units
from .folder import all_read, named
from .listing import Listing, parts_of
from .metadata import word
from .published import located
from .scans import VOLUMES, Scan, read, sized
from .series import numbered

PERCENT = 0.5, 99.5  # of all voxels, between which they lie where no window is given
MANY = 10_000_000  # voxels that these are measured on
ALIKE = 0.02  # spacings that differ by no more than this share are one


@final
class Volumes(Wrapped):
    """Your own scans: a folder of NIfTI (nii, nii.gz; extra `medical`) or npy, npz ((D, H, W) or (C, D, H, W)) in class folders or none; or one npy, npz of many.

    An example is (C, D, H, W). NIfTI of any orientation comes to the closest one of which D goes towards the head, H to the back and W to the left. What is
    sampled, shown and measured has the files' own units again, and their spacing where they agree on it. Classes and splits are as in `folder`; one file of
    (N, D, H, W) or (N, C, D, H, W) is split by chance.

    size: voxels a side, or [D, H, W], that all are stretched to; needed where they differ. spacing: mm from voxel to voxel, which NIfTI files are brought to on
    all axes; then they are cut to the size, or filled up, around their middle. window: [low, high] in the files' units, learnt as -1 to 1, beyond which values
    are held; the 0.5 and 99.5 % quantiles of each channel, over all training examples, where not given. labels: false leaves classes out. label: the name of
    the one class that all are of. held_out: share of the files that are the test split (folders named train and test decide it instead). skip_broken: leave out
    files that cannot be read, hold NaN or are constant. Raises Problem where these are there, or volumes differ in size or channels.
    """

    def __init__(
        self, path: str, size: int | Sequence[int] | None = None, spacing: Annotated[float, Within(1e-6, 1e6)] | None = None,
        window: Sequence[float] | None = None, labels: bool = True, label: str | int | None = None, held_out: float = 0.05,
        skip_broken: bool = False, split: str = "train",
    ):  # fmt: skip
        check_split(split, held_out)
        sides = _sides(size)
        if window is not None and (len(window) != 2 or not window[0] < window[1]):
            raise Usage(f"data.window={[*window]} holds nothing; give [low, high] in the files' units, such as [-160, 240]")
        if label is not None and not labels:
            raise Usage(f"data.label={label} names the class of all volumes, and data.labels=false leaves classes out; say one of them")
        root, folders = located(path), labels and label is None
        whole, learnt, rows = parts_of(root, folders, split, held_out, VOLUMES)
        found, lines = all_read(lambda file: sized(read(file, root.is_file()), sides, spacing), (rows, learnt, whole), skip_broken, VOLUMES)
        shape = _shape({os.path.relpath(file, root): scan for file, scan in found.items()})
        check_memory(f"{sum(len(scan.x) for scan in found.values()):,} volumes of {' x '.join(map(str, shape[1:]))}",
                     4 * sum(scan.x.size for scan in found.values()))  # fmt: skip
        mine, theirs = ([(scan, number) for file, number in _numbers(part) if (scan := found.get(file))] for part in (rows, learnt))
        x, beside = ([volume for scan, _ in part for volume in scan.x] for part in (mine, theirs))
        classes, number = whole.classes, [n for scan, n in mine for _ in scan.x]
        if len(whole) == 1:
            (only,) = found.values()
            if folders and only.label is not None:
                classes, given = numbered(only.label)
                number = given.tolist()
            kept = by_chance("volumes", len(x), split, held_out)
            x, number, beside = [x[i] for i in kept], [number[i] for i in kept], [x[i] for i in by_chance("volumes", len(x), "train", held_out)]
        if not x or not beside:
            raise Problem("no volume of a split can be used; add some, or change data.held_out")
        units = measured(beside, window, _spacing(found.values()))
        values = torch.cat([units.normalised(torch.from_numpy(volume)[None]) for volume in x])
        if window is not None and values.min() == values.max():
            low, high = min(part.min() for part in x), max(part.max() for part in x)
            raise Problem(f"all voxels lie on one side of data.window={[*window]}; they reach from {low:g} to {high:g}")
        if label is not None:
            number, classes = [0] * len(x), (word(str(label)),)
        base = Tensors("volumes", values, [n for n in number if n is not None] if classes else None, classes=classes)
        base.medium, base.units, base.left_out = "scans", units, (*whole.left_out, *lines)
        base.folder = whole.folder if not classes else ""
        super().__init__(base)


def _sides(size: int | Sequence[int] | None) -> tuple[int, ...] | None:
    sides = None if size is None else (size,) * 3 if isinstance(size, int) else tuple(size)
    if sides is not None and (len(sides) != 3 or not all(2 <= side <= 1024 for side in sides)):
        raise Usage(f"data.size is voxels a side, or [D, H, W], from 2 to 1024, not {size!r}")
    return sides


def _shape(found: Mapping[str, Scan]) -> tuple[int, ...]:
    """(C, D, H, W) of all volumes, by name; raises Problem where they differ."""
    most = Counter(scan.x.shape[1:] for scan in found.values()).most_common(1)[0][0]
    there = f" of {len(found)} volumes "
    if odd := {name: str(scan.x.shape[1]) for name, scan in found.items() if scan.x.shape[1] != most[0]}:
        raise Problem(f"{len(odd)}{there}have other channels than the {most[0]} of the rest ({named(odd)}); keep them in a folder of their own")
    if odd := {name: " x ".join(map(str, scan.x.shape[2:])) for name, scan in found.items() if scan.x.shape[1:] != most}:
        cure = f"say which one they get, as in data.size={min(64, min(most[1:]))}"
        raise Problem(f"{len(odd)}{there}are not of {' x '.join(map(str, most[1:]))} voxels ({named(odd)}); {cure}")
    return most


def _numbers(listing: Listing) -> Iterable[tuple[Path, int | None]]:
    return zip((listing.root / name for name in listing.files), listing.label or (None,) * len(listing), strict=True)


def _spacing(scans: Iterable[Scan]) -> tuple[float, ...]:
    """mm from voxel to voxel, where all volumes agree on it; ()."""
    known = np.array([scan.spacing or (np.nan,) * 3 for scan in scans])
    return tuple(known.mean(0).tolist()) if (np.ptp(known, 0) <= ALIKE * known.min(0)).all() else ()


def measured(volumes: Sequence[np.ndarray], window: Sequence[float] | None, spacing: tuple[float, ...] = ()) -> Units:
    """The units of volumes (C, D, H, W): the window that is given, or what PERCENT of the voxels of each channel lie between."""
    channels, step = len(volumes[0]), max(1, len(volumes) * volumes[0][0].size // MANY) | 1  # odd: no multiple of an even side
    ends = [window or _ends(np.concatenate([volume[i].ravel()[::step] for volume in volumes])) for i in range(channels)]
    low, high = np.array(ends, float).T
    if still := [i for i in range(channels) if low[i] == high[i]]:
        raise Problem(f"channel {still[0]} is constant ({low[still[0]]:g}) in all that is trained on; give volumes without it")
    return Units(tuple(map(str, range(channels))), tuple(((low + high) / 2).tolist()), tuple(((high - low) / 2).tolist()), True, spacing)


def _ends(values: np.ndarray) -> tuple[float, float]:
    """The quantiles of PERCENT; the ends themselves where these are one, as of a few voxels that differ from the rest."""
    low, high = np.percentile(values, PERCENT)
    return (float(low), float(high)) if low < high else (float(values.min()), float(values.max()))
