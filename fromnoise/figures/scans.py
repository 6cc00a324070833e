"""Volumes such as CT and MR scans as slices to look at, and as files to go on with, in their own units."""

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ..config import Recipe
from ..data.files.scans import nibabel
from ..data.units import Units, in_own_units
from ..files import ending, replacing
from .picture import EDGE, to_uint8

MOST, GAP = 4, 2  # channels that are drawn, one below the other; pixels between slices


def slices(x: Tensor, scale: int = 0, units: Units | None = None) -> list[Image.Image]:
    """A tile of each volume (N, C, D, H, W): its middle slices in grey, across D, H and W (axial, coronal, sagittal), the head above; as far apart as in space."""
    sides, apart = x.shape[2:], np.array((units.spacing if units else ()) or (1.0,) * 3)
    scale = scale or max(1, round(EDGE / max(sides)))
    d, h, w = (max(1, round(n * scale * float(step))) for n, step in zip(sides, apart / apart.min(), strict=True))
    middle = [side // 2 for side in sides]
    cut = (x[:, :MOST, middle[0]], x[:, :MOST, :, middle[1]].flip(2), x[..., middle[2]][:, :MOST].flip(2))
    grey, shown = [to_uint8(part.transpose(0, 1).flatten(0, 1)[:, None])[..., 0] for part in cut], min(MOST, x.shape[1])
    made = []
    for i in range(len(x)):
        tile = Image.new("L", (2 * w + h + 2 * GAP, shown * (max(h, d) + GAP) - GAP))
        for part, left, size in zip(grey, (0, w + GAP, 2 * (w + GAP)), ((w, h), (w, d), (h, d)), strict=True):
            for channel in range(shown):
                slice_ = Image.fromarray(part[channel * len(x) + i]).resize(size, Image.Resampling.NEAREST)
                tile.paste(slice_, (left, channel * (max(h, d) + GAP) + (max(h, d) - size[1]) // 2))
        made.append(tile)
    return made


def write(x: Tensor, path: Path, recipe: Recipe) -> Path:
    """Writes volumes (N, C, D, H, W) in their own units: .npy as they are; .nii and .nii.gz (X, Y, Z), of several volumes (X, Y, Z, N), of several channels
    (X, Y, Z, N, C), with the spacing of the data where it is known, else 1 mm, and the middle in the origin. Raises Problem without nibabel."""
    units = Units.of(recipe.units)
    values = in_own_units(x, units).float().numpy()
    with replacing(path) as temporary:
        if ending(path) == ".npy":
            with open(temporary, "wb") as file:
                np.save(file, values)
            return path
        apart = np.array((units.spacing if units else ()) or (1.0,) * 3)[::-1] * [-1, -1, 1]
        laid = values.transpose(4, 3, 2, 0, 1)
        laid = laid[..., 0] if x.shape[1] == 1 else laid
        affine = np.diag([*apart, 1.0])
        affine[:3, 3] = -apart * (np.array(laid.shape[:3]) - 1) / 2
        image = nibabel().Nifti1Image(laid[..., 0] if laid.ndim == 4 and len(x) == 1 else laid, affine)
        image.header.set_xyzt_units("mm")
        image.to_filename(temporary)
    return path
