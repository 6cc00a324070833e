"""The card of volumes such as CT and MR scans: values and spectra by channel, and how near they come to single training volumes; all in their own units."""

import torch
from torch import Tensor

from ..data import Dataset
from ..data.units import channel_names, in_own_units
from ..errors import Problem
from .card import Card, Row
from .metrics.scans import intensity_distance, nearest, radial_distance
from .score import check_shape

MOST, PART = 200, 50  # volumes that are measured; of the training set at a time, all of which are searched
DISTANCES = {"intensity distance": intensity_distance, "spectrum distance, dB": radial_distance}
PROTOCOL = (
    "Reference: {m:,} held-out volumes. Real data: {r:,} training volumes, measured like the samples; for the nearest ones those held out. Intensity distance: "
    "Wasserstein-1 of all voxels' values. Spectrum: of mean powers, root mean square over shells of frequency. Nearest: the mean over {n:,} volumes of the root "
    "mean square difference to the training volume that comes nearest, each channel by half its window; far below real data's, samples are copies."
)


def score_scans(samples: Tensor, train: Dataset, test: Dataset, seed: int = 0) -> Card:
    """The card of volumes (N, C, D, H, W) as a network made them. Raises Problem where some are not finite."""
    check_shape(samples, test)
    if not samples.isfinite().all():
        raise Problem("some samples are not finite; take more steps or less guidance")
    draw, samples = torch.Generator().manual_seed(seed), samples.detach().cpu().float()
    reference, beside = (data.get(torch.randperm(len(data), generator=draw)[:most])["x"] for data, most in ((test, MOST), (train, min(MOST, len(samples)))))
    some = samples[:MOST]
    found, real, theirs = (in_own_units(x, train.units) for x in (some, beside, reference))
    names, rows = channel_names(samples.shape[1], train.units), []
    for words, distance in DISTANCES.items():
        values, floors = distance(found, theirs).tolist(), distance(real, theirs).tolist()
        rows += [Row(f"{words}{f', channel {name}' if len(names) > 1 else ''}", *both) for name, *both in zip(names, values, floors, strict=True)]
    parts = [train.get(part)["x"] for part in torch.arange(len(train)).split(PART)]
    near, floor = (float(torch.stack([nearest(x, part) for part in parts]).amin(0).mean()) for x in (some, reference))
    rows.append(Row("nearest training volume", near, floor, better="near"))
    protocol = PROTOCOL.format(m=len(theirs), r=len(real), n=len(some))
    few = [f"the reference has only {len(theirs):,} volumes, which raises all distances"] if len(theirs) < min(MOST, len(samples)) else []
    return Card(f"{test.name}, {len(samples):,} samples", "values", len(samples), len(theirs), protocol, rows, few)
