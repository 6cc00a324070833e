"""Volumes of numbers as slices to look at, and as files of a scanner's kind to go on with, in their own units."""

import gzip
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..config import Recipe
from ..data.files.scans import as_nifti, nibabel
from ..data.units import Units, in_own_units
from ..errors import Usage
from ..files import replacing
from .picture import PLAYERS, enlarged

BETWEEN = -1.0  # of slices side by side
EDGE = 64  # pixels: slices that are smaller are enlarged
PLAYERS.update({ending: partial(nibabel, "a NIfTI image") for ending in (".nii", ".gz")})


def slices(x: Tensor, scale: int = 0, units: Units | None = None) -> list[Image.Image]:
    """The three slices through the middle of each volume (N, C, D, H, W) side by side, across D, H and W, channels one below the other."""
    x = torch.nan_to_num(x.detach().float().cpu())
    return enlarged(torch.cat([_middle(channel[:, None]) for channel in x.unbind(1)], 2), scale or max(1, round(EDGE / max(x.shape[2:]))))


def _middle(x: Tensor) -> Tensor:
    """The middle slices of volumes (N, 1, D, H, W) as pictures (N, 1, H', W'), the lower ones filled up."""
    d, h, w = (side // 2 for side in x.shape[2:])
    parts = x[:, :, d], x[:, :, :, h], x[..., w]
    height = max(part.shape[2] for part in parts)
    full = [F.pad(part, (0, 1, 0, height - part.shape[2]), value=BETWEEN) for part in parts]
    return torch.cat(full, 3)[..., :-1]


def write(x: Tensor, path: Path, recipe: Recipe) -> Path:
    """Writes volumes (N, C, D, H, W) in their own units: .npy, float32; .nii or .nii.gz, one volume of one channel, voxels of one millimetre."""
    values = in_own_units(x, Units.of(recipe.units)).numpy().astype(np.float32)
    if path.suffix == ".npy":
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.save(file, values)
        return path
    if path.suffix == ".gz" and not path.name.endswith(".nii.gz"):
        raise Usage(f"cannot write {path.name}: end it in .nii.gz, .nii, .npy, .npz or .png")
    if values.shape[:2] != (1, 1):
        what = f"{len(values)} volumes" if len(values) > 1 else f"{values.shape[1]} channels"
        raise Usage(f"a NIfTI image holds one volume, not {what}; draw one (-n 1), or write .npy or a folder")
    data = as_nifti(values[0, 0]).to_bytes()
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path
