"""Cards of shapes in space: how near they come to held-out ones, how many of those they reach, and how many are closed."""

from typing import Any

import torch
from torch import Tensor

from ..data import Dataset
from ..data.files.surface import points_on, surface
from ..draws import mixed
from ..errors import Problem
from ..progress import track
from .card import Card, Row
from .metrics.space import coverage, watertight
from .score import check_shape

POINTS, MOST = 512, 200  # of a cloud; shapes that are compared with one another
PROTOCOL = (
    "Reference: {m:,} held-out shapes. Real data: {r:,} training shapes, measured like the samples against the same reference. Coverage (of the reference, by "
    "nearest neighbours) and minimum matching distance by the Chamfer distance of {points:,} points a shape, means of squares, the longest side being 2."
)


def score_shapes(samples: Tensor, train: Dataset, test: Dataset, seed: int = 0) -> Card:
    """The card of volumes (N, 1, D, H, W), whose surface is where they pass 0, or of clouds of points (N, 3, L). Raises Problem where all are empty."""
    check_shape(samples, test)
    draw = torch.Generator().manual_seed(seed)
    reference = test.get(torch.randperm(len(test), generator=draw)[:MOST])["x"]
    real = train.get(torch.randperm(len(train), generator=draw)[: min(len(samples), MOST)])["x"]
    (theirs, _), (beside, closed), (found, mine) = (measured(x, seed) for x in (reference, real, samples.detach().cpu()))
    if not len(found):
        raise Problem("the samples are empty (above 0 nowhere); train longer, or draw others with --seed")
    few = min(len(found), len(beside), len(theirs))
    (reached, apart), (floor, least) = (coverage(clouds[:few], theirs) for clouds in (found, beside))
    rows = [Row("minimum matching distance", apart, least), Row(f"coverage by {few:,}", reached, floor, better="higher")]
    rows += [Row("watertight", mine, closed, better="higher")] if mine is not None else []
    empty = sum(not bool((volume > 0).any()) for volume in samples) if mine is not None else 0
    notes = [f"{empty:,} of {len(samples):,} samples are empty (above 0 nowhere), and no shapes"] if empty else []
    protocol = PROTOCOL.format(m=len(theirs), r=len(real), points=POINTS)
    return Card(f"{test.name}, {len(samples):,} samples", "surfaces", len(samples), len(theirs), protocol, rows, notes)


def measured(x: Tensor, seed: int) -> tuple[Tensor, float | None]:
    """Clouds of at most MOST shapes that are not empty, (n, 3, POINTS), and the share of all meshes that are watertight; None of clouds."""
    if x.ndim == 3:
        picks = [torch.randperm(x.shape[2], generator=torch.Generator().manual_seed(mixed(seed, i)))[:POINTS] for i in range(min(len(x), MOST))]
        return torch.stack([cloud[:, pick] for cloud, pick in zip(x.float(), picks, strict=False)]), None
    meshes: list[Any] = [surface(volume[0]) for volume in track(x, "surfaces", len(x))]
    solid = [mesh for mesh in meshes if mesh is not None][:MOST]
    clouds = [torch.from_numpy(points_on(mesh, POINTS, mixed(seed, i) % 2**32)) for i, mesh in enumerate(solid)]
    return torch.stack(clouds) if clouds else torch.zeros(0, 3, POINTS), watertight(meshes)
