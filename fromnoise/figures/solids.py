"""Samples of shapes in space as files of meshes."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..config import Recipe
from ..data.files.surface import UP, surface, trimesh
from ..errors import Problem
from ..files import replacing
from .picture import even

APART = 2.2  # between the middles of shapes that are 2 across


def shapes(x: Tensor, path: Path, recipe: Recipe) -> Path:
    """Volumes (N, 1, D, H, W) as the surface of where each is above 0, clouds (N, 3, L) as their points, side by side on one plane, the first in front.

    Raises Problem where all of them are empty.
    """
    library, columns, parts = trimesh(), even(len(x)), []
    for i, sample in enumerate(x):
        part: Any = surface(sample[0]) if sample.ndim == 4 else library.PointCloud(sample.detach().float().cpu().T.numpy())
        if part is not None:
            part.vertices = upright(part.vertices + APART * np.array([i % columns, i // columns, 0]), UP[path.suffix])
            parts.append(part)
    if not parts:
        raise Problem(f"{path} is not written: the samples are empty (above 0 nowhere); train longer, or draw others with --seed")
    if len(parts) < len(x):
        empty = f"{len(x) - len(parts)} of {len(x)} samples are empty (above 0 nowhere)"
        print(f"fromnoise: {empty}: their places in {path.name} are left free", file=sys.stderr)
    solid = x.ndim == 5
    whole = library.util.concatenate(parts) if solid else library.PointCloud(np.concatenate([part.vertices for part in parts]))
    with replacing(path) as temporary:
        whole.export(temporary)
    return path


def upright(vertices: np.ndarray, up: str) -> np.ndarray:
    """Places (n, 3) whose third axis is up, in a file whose axis `up` is: (x, y, z) -> (x, z, -y) where that is y."""
    return vertices[:, [0, 2, 1]] * np.array([1, 1, -1]) if up == "y" else vertices
