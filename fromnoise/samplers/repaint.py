"""RePaint: DDPM that goes back and forth, so that what is drawn and what is given have time to agree."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion.level import Level
from ..errors import Usage
from .blend import Denoise, Randn, Steps, ddpm


def repaint(
    denoise: Denoise, x: Tensor, levels: Sequence[Level], jumps: int = 10, length: int = 10, randn: Randn = torch.randn_like
) -> Steps:
    """DDPM with resampling (Lugmayr et al. 2022, sec. 4.2): each stretch of `length` steps is walked `jumps` times, noised again in between.

    Stretches are counted from the clean end; the noisiest is walked once, for there is nothing yet to agree on. About `jumps` evaluations
    a step. With jumps = 1 it is DDPM. Yields (x, x0) of each stretch's last walk.
    """
    if min(jumps, length) < 1 or jumps % 1 or length % 1:
        raise Usage(f"jumps and length are whole numbers from 1, not {jumps:g} and {length:g}")
    steps = len(levels) - 1
    ends = [0, *reversed(range(steps, 0, -int(length)))]
    for first, last in pairwise(ends):
        stretch, walked = levels[first : last + 1], []
        for jump in range(int(jumps) if first else 1):
            if jump:
                x = stretch[0].noisier(x, stretch[-1], randn(x))
            walked = list(ddpm(denoise, x, stretch, randn=randn))
            x = walked[-1][0]
        yield from walked
