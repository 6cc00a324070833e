"""Single-step samplers: each step takes x apart into (x0, eps) and mixes them again with less noise, remembering nothing."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoise
from ..diffusion.level import LENGTH, Level
from ..errors import Usage, nearest

Steps = Iterator[tuple[Tensor, Tensor]]  # (x, x0) after every step
Randn = Callable[[Tensor], Tensor]


def share(kept: Tensor, eta: float) -> Tensor:
    """How much of the noise is fresh: eta · sqrt(1 - kept²), all that chance allows at eta = 1."""
    return eta * (1 - kept**2).clamp(min=0).sqrt()


def remix(nxt: Level, now: Level, x0: Tensor, eps: Tensor, eta: float, randn: Randn, share: Callable[[Tensor, float], Tensor] = share) -> Tensor:
    """alpha' x0 + sigma' (sqrt(1 - fresh²) eps + fresh z), z standard normal, fresh = share(kept, eta)."""
    if not 0 <= eta <= 1:
        raise Usage(f"eta is the share of the noise that is renewed, 0 <= eta <= 1, not {eta}")
    if eta and not nxt.clean:
        fresh = share(nxt.kept(now), eta)
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


def repaint(denoise: Denoise, x: Tensor, levels: Sequence[Level], jumps: int = 10, length: int = 10, randn: Randn = torch.randn_like) -> Steps:
    """DDPM with resampling (Lugmayr et al. 2022, sec. 4.2): each stretch of `length` steps is walked `jumps` times, noised again in between.

    Stretches are counted from the clean end; the noisiest is walked once, for there is nothing yet to agree on. About `jumps` evaluations
    a step. With jumps = 1 it is DDPM. length: steps of a stretch. Yields (x, x0) of each stretch's last walk.
    """
    if min(jumps, length) < 1 or jumps % 1 or length % 1:
        raise Usage(f"jumps and length are whole numbers from 1, not {jumps:g} and {length:g}")
    for first, last in pairwise([0, *reversed(range(len(levels) - 1, 0, -int(length)))]):
        stretch, walked = levels[first : last + 1], []
        for jump in range(int(jumps) if first else 1):
            if jump:
                x = stretch[0].noisier(x, stretch[-1], randn(x))
            walked = list(ddpm(denoise, x, stretch, randn=randn))
            x = walked[-1][0]
        yield from walked


def _heun_step(denoise: Denoise, x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    """(x, x0) after a step along the chord between two levels, its slope averaged over both ends."""
    chord = Level(nxt.alpha - now.alpha, nxt.sigma - now.sigma)
    x0, eps = denoise(x, now)
    slope = chord.mix(x0, eps)
    if not nxt.clean:
        slope = (slope + chord.mix(*denoise(x + slope, nxt))) / 2
    return x + slope, x0


def heun(denoise: Denoise, x: Tensor, levels: Sequence[Level], frame: str | None = None) -> Steps:
    """Heun's method on dx = alpha' x0 + sigma' eps. Two evaluations a step, one in the last.

    frame  in which that is straightest: `ve` is Karras et al. (2022), also on a table's levels, `rf` is flow matching; None is that of the levels.
    """
    if frame not in (None, *LENGTH):
        raise Usage(f"heun: no frame {frame!r}{nearest(str(frame), LENGTH)}")
    for now, nxt in pairwise(levels):
        here, there = (now.framed(frame), nxt.framed(frame)) if frame else (now, nxt)
        if not torch.isfinite(here.sigma):
            raise Usage(f"heun: the frame {frame} is infinite at alpha = 0; set high to 0.999 in noise (or sample.schedule)")
        x, x0 = _heun_step(denoise, x * (here.sigma / now.sigma).to(x), here, there)
        x = x * (torch.hypot(nxt.alpha, nxt.sigma) / torch.hypot(there.alpha, there.sigma)).to(x)  # nothing is left of sigma where it is clean
        yield x, x0


def edm(
    denoise: Denoise, x: Tensor, levels: Sequence[Level],
    churn: float = 0.0, churn_min: float = 0.0, churn_max: float = float("inf"), churn_noise: float = 1.0, randn: Randn = torch.randn_like,
) -> Steps:  # fmt: skip
    """EDM's stochastic sampler (Karras et al. 2022, algorithm 2): noise is added before each step of Heun's method.

    gamma = min(churn / n, sqrt 2 - 1) where churn_min <= sigma / alpha <= churn_max; churn_noise is S_noise. Without churn it is `heun`. The
    published algorithm has alpha = 1 (a Karras grid); other levels are stepped in their own frame.
    """
    if not churn and (churn_min, churn_max, churn_noise) != (0.0, float("inf"), 1.0):
        raise Usage("edm: churn_min, churn_max and churn_noise would do nothing: churn is 0; set it, such as churn=40, or leave them out")
    gamma = min(churn / (len(levels) - 1), 2**0.5 - 1)
    for now, nxt in pairwise(levels):
        sigma = float(now.sigma / now.alpha)
        if gamma and churn_min <= sigma <= churn_max and sigma != float("inf"):
            stirred = Level(now.alpha, now.sigma * (1 + gamma))
            x, now = stirred.noisier(x, now, churn_noise * randn(x)), stirred
        x, x0 = _heun_step(denoise, x, now, nxt)
        yield x, x0


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
