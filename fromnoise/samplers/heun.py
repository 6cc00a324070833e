"""Second order along the chord between two levels: the slope is averaged over both ends."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion.level import Level
from .blend import Denoise, Randn, Steps


def _step(denoise: Denoise, x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    chord = Level(nxt.alpha - now.alpha, nxt.sigma - now.sigma)
    x0, eps = denoise(x, now)
    slope = chord.mix(x0, eps)
    if not nxt.clean:
        slope = (slope + chord.mix(*denoise(x + slope, nxt))) / 2
    return x + slope, x0


def heun(denoise: Denoise, x: Tensor, levels: Sequence[Level]) -> Steps:
    """Heun's method in the frame of the levels: dx = alpha' x0 + sigma' eps. Two evaluations a step, one in the last."""
    for now, nxt in pairwise(levels):
        x, x0 = _step(denoise, x, now, nxt)
        yield x, x0


def edm(
    denoise: Denoise, x: Tensor, levels: Sequence[Level],
    churn: float = 0.0, churn_min: float = 0.0, churn_max: float = float("inf"), churn_noise: float = 1.0, randn: Randn = torch.randn_like,
) -> Steps:  # fmt: skip
    """EDM's stochastic sampler (Karras et al. 2022, algorithm 2): noise is added before each step of Heun's method.

    gamma = min(churn / n, sqrt 2 - 1) where churn_min <= sigma / alpha <= churn_max; churn_noise is S_noise. Without churn it is `heun`. The
    published algorithm has alpha = 1 (a Karras grid); other levels are stepped in their own frame.
    """
    gamma = min(churn / (len(levels) - 1), 2**0.5 - 1)
    for now, nxt in pairwise(levels):
        sigma = float(now.sigma / now.alpha)
        if gamma and churn_min <= sigma <= churn_max and sigma != float("inf"):
            stirred = Level(now.alpha, now.sigma * (1 + gamma))
            x, now = stirred.noisier(x, now, churn_noise * randn(x)), stirred
        x, x0 = _step(denoise, x, now, nxt)
        yield x, x0
