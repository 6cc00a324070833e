"""UniPC (Zhao et al. 2023): each new x0 first corrects the step that led to it."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion.level import Level
from .blend import Denoise, Steps
from .dpmpp import ahead


def unipc(denoise: Denoise, x: Tensor, levels: Sequence[Level]) -> Steps:
    """UniPC of order 2 with B2(h) = e^h - 1: a predictor like DPM-Solver++(2M), and a corrector of order 3 at no extra evaluation."""
    trail: list[tuple[Level, Tensor, Tensor]] = []  # (level, x, x0), newest first
    for now, nxt in pairwise(levels):
        x0 = denoise(x, now)[0]
        if trail:  # redo the last hop, now that x0 at its end is known
            was, x_was, x0_was = trail[0]
            better = x0_was + _correction(now, x0, trail)
            x = now.mix(better, was.eps(x_was, better))
        better = x0
        if trail and not nxt.clean:
            was, _, x0_was = trail[0]
            better = x0 + ahead(nxt, now, was).to(x0) / 2 * (x0 - x0_was)
        trail = [(now, x, x0), *trail[:1]]
        x = nxt.mix(better, now.eps(x, better))
        yield x, x0


def _correction(now: Level, x0: Tensor, trail: list[tuple[Level, Tensor, Tensor]]) -> Tensor:
    """What the x0 at the start of the last hop should have been, less what it was."""
    (was, _, x0_was), *older = trail
    if not older or not torch.isfinite(older[0][0].half_logsnr):
        return (x0 - x0_was) / 2
    oldest, _, x0_oldest = older[0]
    h = now.half_logsnr - was.half_logsnr
    r = (oldest.half_logsnr - was.half_logsnr) / h
    phi = torch.expm1(-h)
    b1 = (phi / -h - 1) / phi
    b2 = ((phi / -h - 1) / -h - 0.5) * 2 / phi
    # rho solves [[1, 1], [r, 1]] rho = [b1, b2] (eq. 10)
    rho0 = (b1 - b2) / (1 - r)
    return (rho0 / r).to(x0) * (x0_oldest - x0_was) + (b1 - rho0).to(x0) * (x0 - x0_was)
