"""Files of volumes, such as CT and MR scans: NIfTI in one orientation, and arrays; and how a volume is brought to another size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Problem
from .header import Broken
from .series import DAMAGE, check_labels, loaded
from .walk import Kind

NIFTI = (".nii", ".nii.gz")
VOLUMES = Kind((*NIFTI, ".npy", ".npz"), "volumes")
CHANNELS = 16  # more of them are something else
MILLIMETRES = {"meter": 1e3, "micron": 1e-3}  # by NIfTI's names; what says nothing is in them already


@dataclass(frozen=True)
class Scan:
    """The volumes of a file, x (N, C, D, H, W) float32; mm from voxel to voxel along D, H and W, () where the file does not say; class numbers or names (N,)."""

    x: np.ndarray
    spacing: tuple[float, ...] = ()
    label: np.ndarray | None = None


def nibabel(what: str = "NIfTI files", cure: str = "save them as .npy (D, H, W)") -> Any:
    """The library of that name. Raises Problem where it is not installed."""
    try:
        import nibabel as library
    except ImportError as error:
        raise Problem(f"{what} need nibabel; run pip install 'fromnoise[medical]', or {cure}") from error
    return library


def read(path: str, alone: bool = False) -> Scan:
    """What a file holds: (D, H, W), (C, D, H, W) or (N, C, D, H, W); alone, four axes are (N, D, H, W). Raises Broken where these are no volumes."""
    scan = nifti(path) if path.lower().endswith(NIFTI) else array(path, alone)
    flat = scan.x.reshape(len(scan.x), -1)
    if bad := int((~np.isfinite(flat)).sum()):
        raise Broken(f"{bad:,} voxels are NaN or infinite: set them to the value of what is outside")
    if len(still := np.flatnonzero(flat.min(1) == flat.max(1))):
        raise Broken(f"{f'volume {still[0]} of it' if len(flat) > 1 else 'it'} is constant, {flat[still[0], 0]:g} everywhere: leave it out")
    return scan


def nifti(path: str) -> Scan:
    """A NIfTI file in the closest orientation of which D goes towards the head, H to the back and W to the left, as DICOM's slices lie; of one volume."""
    library = nibabel()
    try:
        image = library.as_closest_canonical(library.load(path))  # (X, Y, Z) to the right, the front and the head
        x, spacing = image.get_fdata(dtype=np.float32, caching="unchanged"), library.affines.voxel_sizes(image.affine)
        spacing = spacing * MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    except (*DAMAGE, library.filebasedimages.ImageFileError, library.spatialimages.HeaderDataError) as error:
        raise Broken("it is no NIfTI file, or cut short: write it anew") from error
    if x.ndim > 3 and x.shape[3] != 1:
        raise Broken(f"it holds {x.shape[3]} volumes, {x.shape}: save each as a file of its own")
    if x.ndim < 3 or min(x.shape[:3]) < 2:
        raise Broken(f"it is {x.shape}, a slice and no volume: stack slices, or train on them as pictures")
    x = x.reshape(*x.shape[:3], -1).transpose(3, 2, 1, 0)[:, :, ::-1, ::-1]
    return Scan(np.ascontiguousarray(x[None]), tuple(spacing[::-1].tolist()) if (spacing > 0).all() else ())


def array(path: str, alone: bool) -> Scan:
    """The volumes of a .npy or .npz."""
    x, label = loaded(path, VOLUMES.words)
    if not x.size or not 3 <= x.ndim <= 5 or min(x.shape[-3:]) < 2:
        raise Broken(f"it is {x.shape}: volumes have three axes, (D, H, W), after channels or none; stack slices, or train on them as pictures")
    x = x[None, None] if x.ndim == 3 else (x[:, None] if alone else x[None]) if x.ndim == 4 else x
    if x.shape[1] > CHANNELS:
        cure = "channels come first, and several volumes (N, D, H, W) are one file, named by data.path"
        raise Broken(f"it has {x.shape[1]:,} channels of {' x '.join(map(str, x.shape[2:]))} voxels; {cure}")
    check_labels(label, x, VOLUMES.words)
    return Scan(x.astype(np.float32), (), label)


def sized(scan: Scan, size: Sequence[int] | None, spacing: float | None) -> Scan:
    """The volumes at a size [D, H, W], stretched to it; or at a spacing in mm, then cut to that size, or filled up by their lowest value, around their middle.

    Raises Broken where they have no spacing of their own.
    """
    if spacing is not None and not scan.spacing:
        raise Broken("it does not say how far voxels are apart: leave data.spacing out, or save it as NIfTI")
    own = scan.x.shape[2:]
    if spacing is None:
        x = resampled(scan.x, size or own)
        return replace(scan, x=x, spacing=tuple(apart * n / m for apart, n, m in zip(scan.spacing, own, x.shape[2:], strict=False)))
    x = resampled(scan.x, [max(1, round(n * apart / spacing)) for n, apart in zip(own, scan.spacing, strict=True)])
    return replace(scan, x=placed(x, size or x.shape[2:]), spacing=(spacing,) * 3)


def resampled(x: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """x (N, C, D, H, W) at another size, axis by axis: the mean over what a voxel covers where there are fewer, linear interpolation where there are more."""
    for axis, new in enumerate(size, 2):
        if new != x.shape[axis]:
            x = np.moveaxis(np.tensordot(weights(x.shape[axis], new), x, (1, axis)), 0, axis)
    return np.ascontiguousarray(x)


def weights(old: int, new: int) -> np.ndarray:
    """How `new` values on a line are made of `old` ones, (new, old); both fill it, and each row adds up to 1."""
    step, cells = old / new, np.arange(old)
    low = np.arange(new)[:, None] * step
    if step > 1:
        return (np.clip(np.minimum(low + step, cells + 1) - np.maximum(low, cells), 0, None) / step).astype(np.float32)
    return np.clip(1 - np.abs(np.clip(low + step / 2 - 0.5, 0, old - 1) - cells), 0, None).astype(np.float32)


def placed(x: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The middle of x (N, C, D, H, W), in a size that it is cut to, or filled up to by the lowest value of each volume and channel."""
    made = np.empty((*x.shape[:2], *size), x.dtype)
    made[:] = x.min((2, 3, 4), keepdims=True)
    both = [(max(0, (n - m) // 2), max(0, (m - n) // 2), min(n, m)) for n, m in zip(x.shape[2:], size, strict=True)]
    made[(..., *(slice(to, to + n) for _, to, n in both))] = x[(..., *(slice(at, at + n) for at, _, n in both))]
    return made


def are_volumes(path: Path) -> bool:
    """Whether an array's three last axes are those of a volume: none is short, or much longer than another; bytes of an .npz are pictures."""
    try:
        x = np.load(path, mmap_mode="r", allow_pickle=False) if path.suffix.lower() == ".npy" else loaded(str(path), VOLUMES.words)[0]
    except DAMAGE:
        return False
    whole, sides = path.suffix.lower() == ".npz" and x.dtype == np.uint8, x.shape[-3:]
    return not whole and 3 <= x.ndim <= 5 and 8 <= min(sides) and max(sides) <= 8 * min(sides)
