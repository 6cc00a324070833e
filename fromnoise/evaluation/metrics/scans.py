"""How far two sets of volumes are apart: their values, and how their power falls with frequency."""

import torch
from torch import Tensor

LEVELS = 4096  # quantiles


def intensity_distance(a: Tensor, b: Tensor) -> Tensor:
    """The Wasserstein-1 distance of the values of a (N, C, D, H, W) and b (M, C, D, H, W), (C,): the mean difference of their quantiles, of LEVELS even ones."""
    at = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS

    def quantiles(x: Tensor) -> Tensor:
        ordered = x.double().movedim(1, 0).flatten(1).sort(1).values
        return ordered[:, (at * ordered.shape[1]).long()]

    return (quantiles(a) - quantiles(b)).abs().mean(1)


def radial_spectrum(x: Tensor) -> Tensor:
    """The mean power of volumes (N, C, D, H, W), the mean of each left out, in shells of frequency up to half a cycle a voxel, (C, shells); as many shells as half
    the shortest side."""
    shells = max(1, min(x.shape[2:]) // 2)
    axes = torch.meshgrid(*(torch.fft.fftfreq(n, dtype=torch.float64) for n in x.shape[2:]), indexing="ij")
    shell = torch.stack(axes).square().sum(0).sqrt().mul(2 * shells).round().long() - 1  # -1: nearer to the mean; shells and more: corners
    inside = (shell >= 0) & (shell < shells)
    power = sum(torch.fft.fftn(one - one.mean((1, 2, 3), keepdim=True), dim=(1, 2, 3)).abs().square() for one in x.double()) / len(x)
    count = torch.bincount(shell[inside], minlength=shells).clamp(min=1)
    return torch.stack([torch.bincount(shell[inside], channel[inside], shells) / count for channel in power])


def radial_distance(a: Tensor, b: Tensor) -> Tensor:
    """The root mean square difference in dB of the radial spectra of a (N, C, D, H, W) and b (M, C, D, H, W), (C,)."""
    tiny = torch.finfo(torch.float64).tiny
    decibels = [10 * radial_spectrum(x).clamp(min=tiny).log10() for x in (a, b)]
    return (decibels[0] - decibels[1]).square().mean(1).sqrt()


def nearest(x: Tensor, data: Tensor) -> Tensor:
    """The least root mean square difference of each x (N, C, D, H, W) to one of data (M, C, D, H, W), (N,)."""
    return torch.cdist(x.flatten(1), data.flatten(1)).amin(1) / x[0].numel() ** 0.5
