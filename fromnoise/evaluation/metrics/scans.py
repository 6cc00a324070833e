"""How far two sets of volumes are apart: their values, and how their power falls with frequency."""

import torch
from torch import Tensor

from .signals import decibels_apart, quantile_distance

LEVELS = 4096  # quantiles


def intensity_distance(a: Tensor, b: Tensor) -> Tensor:
    """The Wasserstein-1 distance of the values of a (N, C, D, H, W) and b (M, C, D, H, W), (C,), by LEVELS of their quantiles."""
    return quantile_distance(a, b, LEVELS)


def radial_spectrum(x: Tensor) -> Tensor:
    """The mean power of volumes (N, C, D, H, W), the mean of each left out, in shells of frequency up to half a cycle a voxel, (C, shells); as many shells as half
    the shortest side."""
    shells = max(1, min(x.shape[2:]) // 2)
    axes = torch.meshgrid(*(torch.fft.fftfreq(n, dtype=torch.float64) for n in x.shape[2:]), indexing="ij")
    shell = torch.stack(axes).square().sum(0).sqrt().mul(2 * shells).round().long() - 1  # -1: nearer to the mean; shells and more: corners
    inside = (shell >= 0) & (shell < shells)
    power = torch.zeros(x.shape[1:], dtype=torch.float64)
    for one in x.double():
        power += torch.fft.fftn(one - one.mean((1, 2, 3), keepdim=True), dim=(1, 2, 3)).abs().square() / len(x)
    count = torch.bincount(shell[inside], minlength=shells).clamp(min=1)
    return torch.stack([torch.bincount(shell[inside], channel[inside], shells) / count for channel in power])


def radial_distance(a: Tensor, b: Tensor) -> Tensor:
    """The root mean square difference in dB of the radial spectra of a (N, C, D, H, W) and b (M, C, D, H, W), (C,)."""
    return decibels_apart(radial_spectrum(a), radial_spectrum(b))


def nearest(x: Tensor, data: Tensor) -> Tensor:
    """The least root mean square difference of each x (N, C, D, H, W) to one of data (M, C, D, H, W), (N,)."""
    return torch.cdist(x.flatten(1), data.flatten(1)).amin(1) / x[0].numel() ** 0.5
