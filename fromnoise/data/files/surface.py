"""Shapes in space: triangle meshes, volumes of what is inside them, and points on their surface. The third axis is up."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import Problem
from .header import Broken

Mesh = Any  # trimesh.Trimesh, which is imported where it is needed alone
UP = {".obj": "y", ".glb": "y", ".gltf": "y", ".off": "z", ".stl": "z", ".ply": "z"}  # glTF's by its standard, the others' by custom


def trimesh() -> Any:
    """The library of that name. Raises Problem where it, or scikit-image beside it, is not installed."""
    try:
        import skimage.measure  # noqa: F401
        import trimesh
    except ImportError as error:
        raise Problem('shapes in space need trimesh and scikit-image; run pip install "fromnoise[mesh]"') from error
    return trimesh


def read(path: str | Path, up: str) -> Mesh:
    """A file's mesh, its axis `up` (y or z) made the third, centred, its longest side brought to [-1, 1]. Raises Broken where there is none."""
    library = trimesh()
    try:
        mesh = library.load(path, force="mesh", process=True)
        if not isinstance(mesh, library.Trimesh) or not len(mesh.faces):
            raise Broken("it has no faces")
        mesh.merge_vertices(merge_tex=True, merge_norm=True)  # the seams of textures are no holes
        mesh = library.Trimesh(mesh.vertices, mesh.faces)
        low, high = mesh.bounds
    except Broken:
        raise
    except Exception as error:  # the readers of damaged files fail in any way at all
        raise Broken("it is cut short, or no mesh of that kind") from error
    if not np.isfinite(mesh.vertices).all() or not mesh.area > 0:
        raise Broken("its faces have no area, or no finite one")
    mesh.vertices = (mesh.vertices - (low + high) / 2) * (2 / (high - low).max())
    if up == "y":
        mesh.vertices = mesh.vertices @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # (x, y, z) -> (x, -z, y)
    return mesh


def voxels(mesh: Mesh, side: int) -> np.ndarray:
    """What a mesh in [-1, 1] touches or encloses, (side, side, side) bool."""
    # triangles are cut until no edge is longer than half a voxel: no gap is left through which the inside could be reached across faces of voxels
    points, _ = trimesh().remesh.subdivide_to_size(mesh.vertices, mesh.faces, max_edge=1 / side, max_iter=30)
    made = np.zeros((side,) * 3, bool)
    made[tuple(np.clip(np.floor((points + 1) / 2 * side).astype(int), 0, side - 1).T)] = True
    return filled(made)


def filled(volume: np.ndarray) -> np.ndarray:
    """The volume (D, H, W) of bool with what it encloses."""
    trimesh()
    from scipy.ndimage import binary_fill_holes

    return binary_fill_holes(volume)


def surface(volume: Tensor) -> Mesh | None:
    """The mesh in [-1, 1] of where a volume (D, H, W) passes 0, closed at its edges, by marching cubes (Lewiner et al. 2003); None where it is above 0 nowhere."""
    library = trimesh()
    from skimage.measure import marching_cubes

    x = torch.nn.functional.pad(torch.nan_to_num(volume.detach().float().cpu(), nan=-1.0), (1,) * 6, value=-1.0).numpy()
    if not (x > 0).any():
        return None
    vertices, faces, *_ = marching_cubes(x, 0.0, gradient_direction="ascent")  # so that normals point outwards
    return library.Trimesh(
        (2 * vertices - 1 - np.array(volume.shape)) / max(volume.shape), faces
    )  # voxel i of n is padded at i + 1, its centre at 2 i + 1 - n


def points_on(mesh: Mesh, count: int, seed: int) -> np.ndarray:
    """Points drawn evenly from a mesh's surface, (3, count) float32."""
    return trimesh().sample.sample_surface(mesh, count, seed=seed)[0].T.astype(np.float32)
