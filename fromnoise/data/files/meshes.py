"""Shapes in space as examples: a folder of meshes, or a file of occupancy grids, as volumes or as clouds of points."""

import re
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from ...draws import mixed
from ...errors import Problem, Usage, Within, nearest
from ...progress import track
from ..dataset import Tensors, Wrapped, check_split
from ..sets.arrays import DAMAGE
from .folder import NAMED, in_threads, named, report_broken, without
from .listing import Listing, divided, split_listing
from .published import located
from .surface import UP, Mesh, filled, points_on, read, surface, voxels
from .walk import Kind

MESHES = Kind(tuple(UP), "meshes")
SPLIT = re.compile(r"(.*?)[_/-]?(train|test)")  # at the end of an array's name
TURNS = 4
Made = Callable[[Mesh, str], np.ndarray]


@final
class Meshes(Wrapped):
    """Your own shapes: a folder of meshes (obj, off, stl, ply, glb) in class sub-folders or none, or an .npz of occupancy grids, an array of each class.

    Each is centred and its longest side brought to [-1, 1]; the third axis is up. An example is a volume (1, side, side, side), 255 inside and 0 outside,
    or with `points` a cloud (3, points) drawn evenly from the surface, once. Arrays of an .npz are np.packbits of (N, S, S, S), or that itself; where their
    names end in train or test, as chair_test does, these are the splits.

    side: voxels a side. points: how many, in place of a volume. turns: each shape in all four quarter turns about its upright axis, in training. classes: those
    to take, all where not given. up: the files' upright axis, y or z, by the custom of each ending where not given. held_out: share of the shapes that are the
    test split (folders named train and test decide it instead). skip_broken: leave out files that hold no mesh.
    Raises Problem where files cannot be read, with the first few names and what to do.
    """

    def __init__(
        self, path: str, side: Annotated[int, Within(4, 256)] = 32, points: Annotated[int, Within(1, 1_000_000)] | None = None, turns: bool = False,
        classes: Sequence[str] | None = None, up: Literal["y", "z"] | None = None, labels: bool = True, held_out: float = 0.05,
        skip_broken: bool = False, split: str = "train",
    ):  # fmt: skip
        def made(mesh: Mesh, name: str) -> np.ndarray:
            return points_on(mesh, points, mixed("points", name) % 2**32) if points else 255 * voxels(mesh, side)[None].astype(np.uint8)

        path = str(located(path))
        if Path(path).suffix == ".npz":
            if up is not None:
                raise Usage("data.up is of mesh files, and grids in an .npz have their third axis up; leave it out")
            grids, listing = _arrays(Path(path).expanduser(), split, held_out)
            x, listing = _of_grids(grids, chosen_of(listing, classes), side, made if points else None)
        else:
            listing = chosen_of(split_listing(path, labels, split, held_out, MESHES)[1], classes)
            x, listing = _of_files(listing, up, skip_broken, made, hollow=not points)
        base = Tensors("meshes", x, listing.label if labels else None, classes=listing.classes if labels else ())
        base.left_out = listing.left_out
        super().__init__(Turned(base) if turns and split == "train" else base)


@final
class Turned(Wrapped):
    """Every example in its four quarter turns about the third axis: (x, y, z) becomes (-y, x, z)."""

    def __len__(self) -> int:
        return TURNS * len(self.base)

    def labels(self, indices: Tensor) -> Tensor:
        return self.base.labels(indices % len(self.base))

    def take(self, indices: Tensor) -> dict[str, Any]:
        batch = self.base.take(indices % len(self.base))
        return batch | {"x": torch.stack([turned(x, int(i) // len(self.base)) for x, i in zip(batch["x"], indices, strict=True)])}

    def to(self, device: torch.device | str) -> "Turned":
        moved = copy(self)
        moved.base = self.base.to(device)
        return moved


def turned(x: Tensor, times: int) -> Tensor:
    """A volume (1, S, S, S), or a cloud (3, N), so many quarter turns on."""
    if x.ndim == 4:
        return torch.rot90(x, times, (1, 2))
    for _ in range(times):
        x = torch.stack([-x[1], x[0], x[2]])
    return x


def chosen_of(listing: Listing, classes: Sequence[str] | None) -> Listing:
    """The files of these classes; all where there are none named. Raises Usage for a class that there is not."""
    if classes is None:
        return listing
    if isinstance(classes, str) or not classes:
        raise Usage(f"data.classes are names in brackets, such as [chair], not {classes!r}")
    if unknown := [name for name in classes if name not in listing.classes]:
        raise Usage(f"there is no class {unknown[0]!r} in {listing.root}" + (nearest(unknown[0], listing.classes) if listing.classes else ": it has none"))
    others, label = [name for name in listing.classes if name not in classes], listing.label or ()
    rows = [i for i, number in enumerate(label) if listing.classes[number] in classes]
    found = replace(listing.at(rows), label=tuple(list(classes).index(listing.classes[label[i]]) for i in rows), classes=tuple(classes))
    line = (f"{len(listing) - len(rows):,} shapes of other classes ({', '.join(others[:5])}{', …' if len(others) > 5 else ''})",) if others else ()
    return replace(found, left_out=(*listing.left_out, *line))


def _of_files(listing: Listing, up: str | None, skip: bool, made: Made, *, hollow: bool) -> tuple[np.ndarray, Listing]:
    """The examples of mesh files, and those that are read."""

    def one(file: str) -> tuple[np.ndarray, bool]:
        mesh = read(file, up or UP[Path(file).suffix.lower()])
        return made(mesh, str(Path(file).relative_to(listing.root))), bool(mesh.is_watertight)

    found, broken = in_threads(one, listing, "reading meshes")
    report_broken(broken, len(found), skip, MESHES.words)
    lines = [f"{len(broken):,} meshes cannot be read and are skipped ({named(broken)})"] if broken else []
    if hollow and (wide := [name for name, (_, closed) in found.items() if not closed]):
        names = ", ".join(wide[:NAMED]) + (", …" if len(wide) > NAMED else "")
        lines.append(f"the inside of {len(wide):,} meshes that are not closed, where it is open ({names}): close them, or draw points (data.points=2048)")
    listing = without(listing, broken)
    return np.stack([found[name][0] for name in listing.files]), replace(listing, left_out=(*listing.left_out, *lines))


def _arrays(path: Path, split: str, held_out: float) -> tuple[dict[str, np.ndarray], Listing]:
    """The arrays of an .npz, and the grids of the split, called NAME/NUMBER, in classes. Raises Problem where it holds no grids."""
    check_split(split, held_out)
    cure = "save it with np.savez(path, chair=np.packbits(grids.reshape(len(grids), -1), axis=1)), grids (N, S, S, S) of 0 and 1"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise Problem(f"{path}: no such file; set data.path to an .npz of grids, or to a folder of meshes") from error
    except DAMAGE as error:
        raise Problem(f"{path} is no .npz of plain arrays, or cut short; {cure}") from error
    for name, array in arrays.items():
        if array.dtype not in (np.uint8, np.bool_) or not (array.ndim == 2 or (array.ndim == 4 and len(set(array.shape[1:])) == 1)) or not array.size:
            raise Problem(f"{path}: {name} is {array.dtype} {array.shape}, no occupancy grids; {cure}")
    if len(sides := {name: side_of(array) for name, array in arrays.items()}) == 0 or len({*sides.values()}) > 1:
        raise Problem(f"{path} holds {'grids of different sides: ' + str(sides) if sides else 'nothing'}; {cure}")
    ends = {name: found for name in arrays if (found := SPLIT.fullmatch(name))}
    names = {name: found[1] for name, found in ends.items() if found[2] == split} if ends else {name: name for name in arrays}
    if not names:
        raise Problem(f"{path} holds no array that ends in {split} ({', '.join(arrays)}); add one, or rename them all to hold out a share")
    classes = tuple(sorted({*(found[1] for found in ends.values())} if ends else names))
    files = [(f"{name}/{i}", classes.index(kind)) for name, kind in names.items() for i in range(len(arrays[name]))]
    labels = tuple(label for _, label in files) if len(classes) > 1 or classes[0] else None
    idle = [name for name in arrays if ends and name not in ends]
    left_out = (f"{len(idle):,} arrays that name no split ({', '.join(idle)})",) if idle else ()
    listing = Listing(path, tuple(name for name, _ in files), labels, classes=classes if labels else (), left_out=left_out)
    return arrays, listing if ends else divided(listing, split, held_out)[1]


def side_of(grids: np.ndarray) -> int:
    """The side of grids (N, S, S, S), or (N, bytes) of their bits."""
    return grids.shape[1] if grids.ndim == 4 else int((8 * grids.shape[1] + 0.5) ** (1 / 3))


def _of_grids(arrays: dict[str, np.ndarray], listing: Listing, side: int, made: Made | None) -> tuple[np.ndarray, Listing]:
    """The examples of grids, filled, and those that are not empty; a voxel that is made of several is inside where one of them is."""
    own = side_of(next(iter(arrays.values())))
    if own % side:
        raise Usage(f"{listing.root} holds grids of side {own}, which does not divide into {side}; give data.side={own}, or a divisor of it")
    found = {}
    for file in track(listing.files, "reading grids", len(listing)):
        name, number = file.rsplit("/", 1)
        row = arrays[name][int(number)]
        bits = (np.unpackbits(row)[: own**3] if row.ndim == 1 else row).reshape((side, own // side) * 3)
        if (volume := filled(bits.any((1, 3, 5)))).any():
            found[file] = made(surface(torch.from_numpy(volume) * 2.0 - 1), file) if made else 255 * volume[None].astype(np.uint8)
    empty = [name for name in listing.files if name not in found]
    if not found:
        raise Problem(f"all {len(empty)} grids of {listing.root} are empty; give others")
    line = (f"{len(empty):,} grids that are empty ({', '.join(empty[:NAMED])}{', …' if len(empty) > NAMED else ''})",) if empty else ()
    return np.stack([*found.values()]), replace(without(listing, empty), left_out=(*listing.left_out, *line))
