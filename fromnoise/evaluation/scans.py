"""The card of volumes of numbers, such as scans: their values and their structure at each scale, in their own units."""

import torch
from torch import Tensor

from ..data import Dataset
from ..data.units import channel_names, in_own_units
from ..errors import Problem
from .card import Card, Row
from .metrics.signals import quantile_distance
from .score import check_shape

MOST = 500  # held-out volumes, and training ones, that are measured
SHELLS = 12  # of wavelengths
PROTOCOL = (
    "Reference: {m:,} held-out volumes. Real data: {r:,} training volumes, measured like the samples. Channels: {names}. Quantile distance: mean difference of the "
    "1 to 99 % quantiles of all values, in their own units. Spectrum: of mean powers in {shells} shells of frequency alike wide, root mean square over them: above "
    "real data's where samples are blurred, or noisy."
)


def score_scans(samples: Tensor, train: Dataset, test: Dataset, seed: int = 0) -> Card:
    """The card of volumes (N, C, D, H, W) as a network made them. Raises Problem where some are not finite."""
    check_shape(samples, test)
    if not samples.isfinite().all():
        raise Problem("some samples are not finite; take more steps or less guidance")
    draw = torch.Generator().manual_seed(seed)
    reference, beside = (data.get(torch.randperm(len(data), generator=draw)[:most])["x"] for data, most in ((test, MOST), (train, min(MOST, len(samples)))))
    names, rows = channel_names(samples.shape[1], train.units), list[Row]()
    for i, name in enumerate(names):
        of = f", {name}" if len(names) > 1 else ""
        found, real, theirs = (in_own_units(x, train.units)[:, i : i + 1].flatten(2) for x in (samples, beside, reference))
        rows += [Row(f"mean{of}", float(found.mean()), float(theirs.mean()), better="near"),
                 Row(f"spread{of}", float(found.std()), float(theirs.std()), better="near"),
                 Row(f"quantile distance{of}", float(quantile_distance(found, theirs)), float(quantile_distance(real, theirs)))]  # fmt: skip
        shells = [shell_powers(x[:, i]) for x in (samples, beside, reference)]
        rows.append(Row(f"spectrum distance{of}, dB", *((part - shells[2]).square().mean().sqrt().item() for part in shells[:2])))
    protocol = PROTOCOL.format(m=len(reference), r=len(beside), names=", ".join(names), shells=len(shells[0]))
    few = [f"the reference has only {len(reference):,} volumes, which raises all distances"] if len(reference) < min(MOST, len(samples)) else []
    return Card(f"{test.name}, {len(samples):,} samples", "values", len(samples), len(reference), protocol, rows, few)


def shell_powers(x: Tensor) -> Tensor:
    """The mean power of volumes (N, D, H, W) in shells of frequency alike wide, from that of half a period a volume to that of half a period a voxel, dB."""
    power = torch.fft.fftn(x.detach().cpu().double(), dim=(1, 2, 3)).abs().square().mean(0)
    radius = sum(torch.fft.fftfreq(side, dtype=torch.float64).view(-1, *[1] * (2 - axis)).square() for axis, side in enumerate(x.shape[1:])) ** 0.5
    count = min(SHELLS, max(x.shape[1:]) // 2)
    shell = (radius * 2 * count).ceil().long()  # 0: the mean; above `count`: corners, in which no axis has all directions
    total, number = (torch.zeros(int(shell.max()) + 1, dtype=torch.float64).index_add_(0, shell.flatten(), part.flatten())
                     for part in (power, torch.ones_like(power)))  # fmt: skip
    return 10 * (total / number)[1 : count + 1].clamp(min=1e-20).log10()
