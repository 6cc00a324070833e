"""How near clouds of points are to others as sets of shapes, and which share of meshes is closed."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ...errors import Problem


def chamfer(a: Tensor, b: Tensor) -> Tensor:
    """The Chamfer distance of each cloud a (N, 3, P) to each b (M, 3, Q), (N, M): the mean over a's points of the squared distance to b's nearest, and the
    other way round (Achlioptas et al. 2018, eq. 2, by means in place of sums)."""
    if not len(a) or not len(b):
        raise Problem("the distance of clouds needs one on each side; draw more with -n")

    def one(cloud: Tensor) -> Tensor:
        apart = torch.cdist(cloud.mT.double(), b.mT.double()).square()  # (M, P, Q)
        return apart.amin(2).mean(1) + apart.amin(1).mean(1)

    return torch.stack([one(cloud) for cloud in a])


def coverage(fake: Tensor, real: Tensor) -> tuple[float, float]:
    """(coverage, minimum matching distance) of clouds fake (N, 3, P) against held-out ones real (M, 3, Q) (Achlioptas et al. 2018, sec. 3).

    Coverage is the share of real clouds that are the nearest one of some fake cloud; the distance is the mean over real clouds of that to the nearest fake one.
    """
    apart = chamfer(fake, real)
    return len(apart.argmin(1).unique()) / len(real), apart.amin(0).mean().item()


def watertight(meshes: Iterable[Any]) -> float:
    """The share of trimesh's meshes that are closed, every edge being shared by two faces; None, where a sample has no surface, is not."""
    closed = [mesh is not None and bool(mesh.is_watertight) for mesh in meshes]
    if not closed:
        raise Problem("there are no meshes of which a share could be closed; draw some with -n")
    return sum(closed) / len(closed)
