"""How far two sets of signals are apart, channel by channel, and what is read from those whose law is known."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...data.sets.heartbeats import beats_of

LEVELS = 99  # quantiles, at 1 to 99 %

Reader = Callable[[Tensor], dict[str, Tensor]]  # signals (N, C, L) in their own units -> of each signal what its law is of, (N,)


def quantile_distance(a: Tensor, b: Tensor, levels: int = LEVELS) -> Tensor:
    """The mean difference of the quantiles of the values of a (N, C, *S) and b (M, C, *S), (C,): about their Wasserstein-1 distance, the nearer the more levels."""
    at = (torch.arange(levels, dtype=torch.float64) + 1) / (levels + 1)

    def quantiles(x: Tensor) -> Tensor:
        ordered = x.double().movedim(1, 0).flatten(1).sort(1).values
        return ordered[:, (at * (ordered.shape[1] - 1)).round().long()]

    return (quantiles(a) - quantiles(b)).abs().mean(1)


def power_spectrum(x: Tensor) -> Tensor:
    """The mean power of signals (N, C, L) at each frequency, (C, L // 2 + 1), the mean of each signal left out, by a Hann window."""
    x = x.double() - x.double().mean(2, keepdim=True)
    return torch.fft.rfft(x * torch.hann_window(x.shape[2], dtype=torch.float64)).abs().square().mean(0)


def spectrum_distance(a: Tensor, b: Tensor) -> Tensor:
    """The root mean square difference in dB of the power spectra of a (N, C, L) and b (M, C, L), (C,)."""
    return decibels_apart(power_spectrum(a), power_spectrum(b))


def decibels_apart(a: Tensor, b: Tensor) -> Tensor:
    """The root mean square difference in dB of two powers at the same frequencies, (C, F) each, (C,)."""
    a, b = (10 * power.clamp(min=torch.finfo(torch.float64).tiny).log10() for power in (a, b))
    return (a - b).square().mean(1).sqrt()


def autocorrelation(x: Tensor) -> Tensor:
    """The mean autocorrelation of signals (N, C, L) at lags 0 to L // 2, (C, L // 2 + 1): of each sum (x_t - mean)(x_{t+k} - mean), by that of lag 0."""
    x = x.double() - x.double().mean(2, keepdim=True)
    length = x.shape[2]
    found = torch.fft.irfft(torch.fft.rfft(x, 2 * length).abs().square(), 2 * length)[..., : length // 2 + 1]
    return (found / found[..., :1].clamp(min=torch.finfo(torch.float64).tiny)).mean(0)


def autocorrelation_distance(a: Tensor, b: Tensor) -> Tensor:
    """The mean difference of the autocorrelations of a (N, C, L) and b (M, C, L), (C,)."""
    return (autocorrelation(a) - autocorrelation(b)).abs().mean(1)


def read_heartbeats(x: Tensor) -> dict[str, Tensor]:
    """Period in samples, height and noise in mV of signals (N, 1, L) of `heartbeats`."""
    found = beats_of(x[:, 0])
    return {"period": found.period, "amplitude": found.amplitude, "noise": found.noise}


# Data sets whose signals have a known law, and what reads it.
LAWS: dict[str, Reader] = {"heartbeats": read_heartbeats}
