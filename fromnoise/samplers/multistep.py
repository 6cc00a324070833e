"""Multistep samplers: x0 extrapolated in the half log-SNR lambda, then the same blend. The last hop into clean data is of first order."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion.level import Level
from .singlestep import Denoise, Randn, Steps, remix


def ahead(nxt: Level, now: Level, was: Level) -> Tensor:
    """This step in lambda as a share of the one before; 0 where that one was infinite (from alpha = 0)."""
    return (nxt.half_logsnr - now.half_logsnr) / (now.half_logsnr - was.half_logsnr)


def dpmpp_2m(denoise: Denoise, x: Tensor, levels: Sequence[Level], eta: float = 0.0, randn: Randn = torch.randn_like) -> Steps:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): x0 extrapolated linearly in lambda; with eta = 1 its SDE variant.

    Between them e^(-eta h) of the noise is kept, h the step in lambda, and sqrt(1 - e^(-2 eta h)) of it is fresh, as in k-diffusion.
    """
    last = None
    for now, nxt in pairwise(levels):
        x0, eps = denoise(x, now)
        better = x0
        if last and not nxt.clean:
            was, x0_was = last
            better = x0 + ahead(nxt, now, was).to(x0) / 2 * (x0 - x0_was)
            eps = now.eps(x, better)
        last = now, x0
        x = remix(nxt, now, better, eps, eta, randn, lambda kept, eta: (1 - kept ** (2 * eta)).sqrt())
        yield x, x0


def dpmpp_2m_sde(denoise: Denoise, x: Tensor, levels: Sequence[Level], eta: float = 1.0, randn: Randn = torch.randn_like) -> Steps:
    """SDE-DPM-Solver++(2M) (Lu et al. 2022, sec. 5): `dpmpp_2m` with all noise renewed that chance allows."""
    return dpmpp_2m(denoise, x, levels, eta, randn)


def dpmpp_3m(denoise: Denoise, x: Tensor, levels: Sequence[Level], curvature: float = 1.0, short: int = 0) -> Steps:
    """DPM-Solver++(3M): x0 extrapolated by a parabola in lambda; first and second order while the history is short.

    x' = (sigma'/sigma) x + alpha' (1 - e^-h) x0 + alpha' ((e^-h - 1)/h + 1) D1 - alpha' ((e^-h - 1 + h)/h² - 1/2) c D2, with differences D1, D2
    of x0 over the last three levels; said here as a better x0. D2 estimates h² x0''/2, so the method is of order 3 with `curvature` c = 2;
    c = 1, the default, is what the authors' code and those that follow it compute, and of order 2. In a walk of fewer than `short` steps the hop
    before the last is of second order (the authors' `lower_order_final`, with 15).
    """
    trail: list[tuple[Level, Tensor]] = []  # newest first
    for now, nxt in pairwise(levels):
        x0, eps = denoise(x, now)
        trail, better = [(now, x0), *trail[:2]], x0
        if len(trail) > 1 and not nxt.clean:
            second = len(levels) - 1 < short and nxt is levels[-2]
            better = x0 + _correction(nxt, trail[:2] if second else trail, curvature)
            eps = now.eps(x, better)
        x = nxt.mix(better, eps)
        yield x, x0


def _correction(nxt: Level, trail: list[tuple[Level, Tensor]], curvature: float) -> Tensor:
    """better - x0, from two or three values of x0 at falling noise."""
    (now, x0), (was, x0_was), *older = trail
    r0 = 1 / ahead(nxt, now, was)
    first = (x0 - x0_was) / r0.to(x0)
    h = nxt.half_logsnr - now.half_logsnr
    if not older or not torch.isfinite(older[0][0].half_logsnr) or h == 0:
        return first / 2
    oldest, x0_oldest = older[0]
    r1 = (was.half_logsnr - oldest.half_logsnr) / h
    second = (x0_was - x0_oldest) / r1.to(x0)
    d1 = first + (r0 / (r0 + r1)).to(x0) * (first - second)
    d2 = curvature * (first - second) / (r0 + r1).to(x0)
    shrink = -torch.expm1(-h)  # 1 - e^-h: what one unit of x0 weighs in the step
    w1, w2 = (1 - shrink / h) / shrink, -((h - shrink) / h**2 - 0.5) / shrink
    return w1.to(x0) * d1 + w2.to(x0) * d2


ADAMS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))  # Adams and Bashforth's weights, newest first


def plms(denoise: Denoise, x: Tensor, levels: Sequence[Level]) -> Steps:
    """Pseudo linear multistep (Liu et al. 2022, eq. 12): eps extrapolated over even steps from the last four, then DDIM's hop. The first hop is gone
    twice, the second time with the mean of eps at both its ends, as Stable Diffusion's sampler of that name does; the last as the others."""
    trail: list[Tensor] = []  # newest first
    for now, nxt in pairwise(levels):
        x0, eps = denoise(x, now)
        trail, better, blind = [eps, *trail[:3]], eps, bool(now.alpha < 1e-6 * nxt.alpha)  # blind: eps says nothing about x0
        if len(trail) > 1:
            better = torch.stack([weight * part for weight, part in zip(ADAMS[len(trail) - 1], trail, strict=True)]).sum(0)
        elif len(levels) > 2 and not blind:
            better = (eps + denoise(nxt.mix(x0, eps), nxt)[1]) / 2
        x = nxt.mix(x0, eps) if blind else nxt.mix(x0 + (now.sigma / now.alpha).to(x) * (eps - better), better)
        yield x, x0


def unipc(denoise: Denoise, x: Tensor, levels: Sequence[Level]) -> Steps:
    """UniPC of order 2 with B2(h) = e^h - 1: a predictor like DPM-Solver++(2M), and a corrector of order 3 at no extra evaluation."""
    trail: list[tuple[Level, Tensor, Tensor]] = []  # (level, x, x0), newest first
    for now, nxt in pairwise(levels):
        x0 = denoise(x, now)[0]
        if trail:  # redo the last hop, now that x0 at its end is known
            was, x_was, x0_was = trail[0]
            better = x0_was + _corrected(now, x0, trail)
            x = now.mix(better, was.eps(x_was, better))
        better = x0
        if trail and not nxt.clean:
            was, _, x0_was = trail[0]
            better = x0 + ahead(nxt, now, was).to(x0) / 2 * (x0 - x0_was)
        trail = [(now, x, x0), *trail[:1]]
        x = nxt.mix(better, now.eps(x, better))
        yield x, x0


def _corrected(now: Level, x0: Tensor, trail: list[tuple[Level, Tensor, Tensor]]) -> Tensor:
    """What the x0 at the start of the last hop should have been, less what it was."""
    (was, _, x0_was), *older = trail
    if not older or not torch.isfinite(older[0][0].half_logsnr):
        return (x0 - x0_was) / 2
    oldest, _, x0_oldest = older[0]
    h = now.half_logsnr - was.half_logsnr
    r = (oldest.half_logsnr - was.half_logsnr) / h
    phi = torch.expm1(-h)
    b1, b2 = (phi / -h - 1) / phi, ((phi / -h - 1) / -h - 0.5) * 2 / phi
    rho0 = (b1 - b2) / (1 - r)  # rho solves [[1, 1], [r, 1]] rho = [b1, b2] (eq. 10)
    return (rho0 / r).to(x0) * (x0_oldest - x0_was) + (b1 - rho0).to(x0) * (x0 - x0_was)
