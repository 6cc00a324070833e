"""DDIM inversion: the walk from a picture up to the noise that DDIM would make it from."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion.level import Level
from .onestep import Denoise, Steps


def invert(denoise: Denoise, x: Tensor, levels: Sequence[Level], iterations: int = 3) -> Steps:
    """DDIM inversion (Song et al. 2021, sec. 5.4): from clean x up the levels, which fall as a sampler's do.

    Each step looks for the noisier y from which DDIM steps to x: y = r² / d x + (sigma_y alpha_x - alpha_y sigma_x) / d F(y), with
    F = alpha_y eps - sigma_y x0 the v-direction at y, r² = alpha_y² + sigma_y², d = alpha_x alpha_y + sigma_x sigma_y. A fixed point, found
    by `iterations` evaluations (Pan et al. 2023); one is first-order inversion. Yields (x, x0).
    """
    x0, eps = x, torch.zeros_like(x)
    for here, up in pairwise(reversed(levels)):
        d = here.alpha * up.alpha + here.sigma * up.sigma
        onward = Level((up.alpha**2 + up.sigma**2) / d, (up.sigma * here.alpha - up.alpha * here.sigma) / d)
        y = up.mix(x0, eps)  # where the last step's slope leads
        for _ in range(iterations):
            x0, eps = denoise(y, up)
            y = onward.mix(x, Level(-up.sigma, up.alpha).mix(x0, eps))
        x = y
        yield x, x0
