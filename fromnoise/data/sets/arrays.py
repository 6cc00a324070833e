"""Arrays in a .npz file, as the ADM evaluation suite and `fromnoise sample` write them."""

import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from ...errors import Problem, Usage, Within
from ..dataset import Tensors, by_chance, check_split

CHANNELS = (1, 3, 4)  # of clips
NAMED = 5  # arrays that are left out
DAMAGE = (OSError, EOFError, ValueError, AttributeError, TypeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def npz(
    path: str, held_out: float = 0.05, medium: Literal["videos", "volumes"] | None = None, rate: Annotated[float, Within(0, 1000)] = 0.0,
    split: str = "train",
) -> Tensors:  # fmt: skip
    """Your own arrays in one .npz: arr_0 uint8 (N, H, W, C), arr_1 class numbers (N,) where there are labels; the share `held_out` is the test split.

    Clips are (N, T, H, W, C) or (N, C, T, H, W), and so are volumes. medium: which of both they are; volumes where C is 1, and videos where it is not, unless it
    is said. rate: frames a second of clips.
    """
    check_split(split, held_out)
    images, labels, left_out = read(path)
    if images.ndim == 4 and (medium or rate):
        raise Usage(f"{path} holds pictures, {images.shape}; data.medium and data.rate are for clips and volumes (N, T, H, W, C): leave them out")
    chosen = by_chance("npz", len(images), split, held_out)
    numbers, classes = (None, ()) if labels is None else numbered(labels)
    x, label = np.ascontiguousarray(np.moveaxis(images[chosen], -1, 1)), None if numbers is None else numbers[chosen]
    made = Tensors("npz", x, label, classes=classes)
    made.left_out, made.medium, made.rate = left_out, medium, rate
    return made


def numbered(labels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers (N,) from 0 without gaps, and the classes' names: the labels (N,) that occur, in their order."""
    names, numbers = np.unique(labels, return_inverse=True)
    return numbers, tuple(map(str, names.tolist()))


def read(path: str | Path) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Images (N, H, W, C), or clips (N, T, H, W, C), uint8; labels (N,) or None; what else there is, in words. Raises Problem where the file holds none."""
    path = Path(path).expanduser()
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "arr_0" not in arrays:
                raise Problem(f"{path} holds {', '.join(arrays.files) or 'nothing'}, but no arr_0; save it with np.savez(path, images, labels)")
            images, labels = arrays["arr_0"], arrays["arr_1"] if "arr_1" in arrays else None
            others = [name for name in arrays.files if name not in ("arr_0", "arr_1")]
    except FileNotFoundError as error:
        raise Problem(f"{path}: no such file; set data.path to the .npz") from error
    except DAMAGE as error:
        if isinstance(error, Problem):
            raise
        raise Problem(f"{path} is no .npz of plain arrays, or cut short; save it with np.savez(path, images, labels)") from error
    if images.dtype != np.uint8 or images.ndim not in (4, 5) or not images.size:
        raise Problem(f"{path}: arr_0 is {images.dtype} {images.shape}; it must be uint8 (N, H, W, C), or (N, T, H, W, C) of clips, and not empty")
    if images.ndim == 5 and images.shape[4] not in CHANNELS:
        if images.shape[1] not in CHANNELS:
            raise Problem(f"{path}: arr_0 is {images.shape}; clips have 1, 3 or 4 channels, last or after their number")
        images = np.moveaxis(images, 1, -1)
    if images.ndim == 4 and images.shape[3] > 4 >= images.shape[1]:
        raise Problem(f"{path}: arr_0 is {images.shape}, its channels first; they come last: save images.transpose(0, 2, 3, 1)")
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0):
        raise Problem(f"{path}: arr_1 is {labels.dtype} {labels.shape}; labels must be {len(images)} class numbers from 0")
    return images, labels, (f"{len(others):,} arrays of {path.name} are not used ({', '.join(others[:NAMED])})",) if others else ()
