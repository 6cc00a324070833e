"""Files of volumes: arrays, and NIfTI images of a scanner, laid the same way round."""

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Problem
from ..sets.arrays import DAMAGE
from .header import Broken
from .walk import Kind

NIFTI = (".nii", ".nii.gz")
VOLUMES = Kind((*NIFTI, ".npy", ".npz"), "volumes")
VALUES, LABELS = ("x", "volumes", "arr_0"), ("label", "labels", "y", "arr_1")  # names of arrays in a .npz
SMALLEST = 4  # voxels of an axis
CHANNELS = 8  # the most that are taken for channels, not for a number of volumes


def nibabel(what: str) -> Any:
    """The library; raises Problem where it is not installed."""
    try:
        import nibabel as library
    except ImportError as error:
        raise Problem(f"{what} needs nibabel; run pip install 'fromnoise[medical]', or save the volumes as .npy") from error
    return library


def read(path: str) -> np.ndarray:
    """The volume of a file, (C, D, H, W) float32. Raises Broken where it holds none."""
    x = nifti(path) if path.lower().endswith(NIFTI) else array(Path(path))[0]
    if x.ndim not in (3, 4):
        raise Broken(f"it is {x.shape}: save a volume as (D, H, W), or (C, D, H, W)")
    return checked(x if x.ndim == 4 else x[None])


def several(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The volumes of one file, (N, C, D, H, W) float32, and what they are labelled with, (N,), where they are. Raises Broken where it holds none."""
    x, label = array(path)
    if x.ndim not in (4, 5):
        raise Broken(f"it is {x.shape}: save several volumes as (N, D, H, W) or (N, C, D, H, W), or give a folder of files")
    if label is not None and (label.shape != x.shape[:1] or label.dtype.kind not in "iuU"):
        raise Broken(f"its labels are {label.dtype} {label.shape}: give each of {len(x):,} volumes a number or a word")
    return checked(x if x.ndim == 5 else x[:, None]), label


def array(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """(the array of a .npy, or the one of a .npz; labels where a .npz has some)."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return _real(loaded), None
        with loaded as arrays:
            others = [name for name in arrays.files if name not in LABELS]
            name = next((name for name in VALUES if name in others), others[0] if len(others) == 1 else None)
            if name is None:
                raise Broken(f"it holds {', '.join(arrays.files) or 'nothing'}: call the one of volumes x")
            return _real(arrays[name]), next((arrays[key] for key in LABELS if key in arrays.files), None)
    except DAMAGE as error:
        if isinstance(error, Broken):
            raise
        raise Broken("it is no plain array, or cut short: save it by np.save(path, x)") from error


def nifti(path: str) -> np.ndarray:
    """A NIfTI image as (D, H, W), scaled as its header says: from the head down, from the front back, and from the patient's right to their left, whichever way
    round it is stored, so that slices look as a radiologist sees them."""
    library = nibabel(Path(path).name)
    try:
        image = library.as_closest_canonical(library.load(path))  # axes to the right, the front, the head
        x = np.asarray(image.dataobj)
    except (*DAMAGE, library.filebasedimages.ImageFileError, library.spatialimages.HeaderDataError) as error:
        raise Broken("it is no NIfTI image, or cut short: export it again") from error
    while x.ndim > 3 and x.shape[-1] == 1:
        x = x[..., 0]
    if x.ndim != 3:
        raise Broken(f"it holds {x.shape[3]} volumes, one after another: save each in a file of its own" if x.ndim == 4 else f"it is {x.shape}: no volume")
    return _real(x).transpose(2, 1, 0)[::-1, ::-1, ::-1]


def as_nifti(x: np.ndarray) -> Any:
    """The image of a volume (D, H, W) that `nifti` reads back, voxels of one millimetre."""
    return nibabel("a NIfTI image").Nifti1Image(np.ascontiguousarray(x[::-1, ::-1, ::-1].transpose(2, 1, 0)), np.eye(4))


def _real(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind not in "iufb":
        raise Broken(f"it holds {x.dtype}: save real numbers")
    return x


def checked(x: np.ndarray) -> np.ndarray:
    """Volumes (…, D, H, W) as float32; raises Broken where they are too small, or some value is none."""
    if min(x.shape[-3:], default=0) < SMALLEST:
        raise Broken(f"it is {x.shape}: a volume has {SMALLEST} voxels or more along each axis")
    x = np.ascontiguousarray(x, dtype=np.float32)
    if bad := x.size - int(np.isfinite(x).sum()):
        raise Broken(f"{bad:,} of {x.size:,} values are NaN or infinite: fill them in")
    return x


def holds_volumes(path: Path) -> bool:
    """Whether an .npy or .npz is of volumes, by its axes, rather than of signals, pictures or occupied voxels of meshes."""
    try:
        x, _ = array(path)
    except (Broken, OSError):
        return False
    if x.ndim == 3:
        return min(x.shape) > CHANNELS
    return x.ndim in (4, 5) and x.dtype.kind != "b" and min(x.shape[-3:]) > CHANNELS
