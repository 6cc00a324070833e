"""One move, five names: take x apart into (x0, eps), mix them again with less noise."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoise
from ..diffusion.level import Level
from ..errors import Usage

Steps = Iterator[tuple[Tensor, Tensor]]  # (x, x0) after every step
Randn = Callable[[Tensor], Tensor]


def remix(nxt: Level, now: Level, x0: Tensor, eps: Tensor, eta: float, randn: Randn) -> Tensor:
    """alpha' x0 + sigma' eps', where eps' keeps of eps what (1 - kept²) eta² has not renewed by fresh noise."""
    if not 0 <= eta <= 1:
        raise Usage(f"eta is the share of the noise that is renewed, 0 <= eta <= 1, not {eta}")
    if eta and not nxt.clean:
        fresh = eta * (1 - nxt.kept(now) ** 2).clamp(min=0).sqrt()
        eps = (1 - fresh**2).sqrt().to(eps) * eps + fresh.to(eps) * randn(eps)
    return nxt.mix(x0, eps)


def ddim(denoise: Denoise, x: Tensor, levels: Sequence[Level], eta: float = 0.0, randn: Randn = torch.randn_like) -> Steps:
    """DDIM (Song et al. 2021, eq. 12): eta = 0 keeps eps and is deterministic, eta = 1 renews all that chance allows.

    The sigma of the paper's eq. 16 is eta · sigma' · sqrt(1 - kept²). Yields (x, x0) after every step.
    """
    for now, nxt in pairwise(levels):
        x0, eps = denoise(x, now)
        x = remix(nxt, now, x0, eps, eta, randn)
        yield x, x0


def euler(denoise: Denoise, x: Tensor, levels: Sequence[Level]) -> Steps:
    """Euler's method on the probability-flow ODE (Karras et al. 2022); in every frame the same step as DDIM with eta = 0."""
    return ddim(denoise, x, levels)


def euler_ancestral(denoise: Denoise, x: Tensor, levels: Sequence[Level], eta: float = 1.0, randn: Randn = torch.randn_like) -> Steps:
    """Euler's step to sigma_down and fresh noise back to the level (k-diffusion's ancestral sampling); the same as DDIM with eta = 1."""
    return ddim(denoise, x, levels, eta, randn)


def iadb(denoise: Denoise, x: Tensor, levels: Sequence[Level]) -> Steps:
    """Iterative alpha-(de)blending (Heitz et al. 2023, algorithm 4): x + (alpha' - alpha)(x0 - eps) in the rf frame is the same re-blend."""
    return ddim(denoise, x, levels)


def ddpm(denoise: Denoise, x: Tensor, levels: Sequence[Level], large: bool = False, randn: Randn = torch.randn_like) -> Steps:
    """Ancestral sampling of DDPM (Ho et al. 2020, algorithm 2), with the variance beta-tilde, or beta itself where `large`.

    beta-tilde is DDIM with eta = 1. `large` draws sigma_now / sigma_next times as much: sqrt(beta) instead of sqrt(beta-tilde), in the vp frame.
    """
    for now, nxt in pairwise(levels):
        x0, eps = denoise(x, now)
        if not large or nxt.clean:
            x = remix(nxt, now, x0, eps, 1.0, randn)
        else:
            kept = nxt.kept(now)
            spread = (1 - kept**2).clamp(min=0).sqrt() * now.framed("vp").sigma / nxt.framed("vp").sigma
            x = nxt.mix(x0, kept.to(eps) * eps + spread.to(eps) * randn(eps))
        yield x, x0
