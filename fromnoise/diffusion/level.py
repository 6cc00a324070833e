"""A noise level: the two weights of the blend x = alpha * x0 + sigma * eps."""

from dataclasses import dataclass

import torch
from torch import Tensor

LENGTH = {"ve": lambda alpha, sigma: alpha, "vp": torch.hypot, "rf": lambda alpha, sigma: alpha + sigma}


@dataclass(frozen=True, eq=False)
class Level:
    """How noisy x = alpha * x0 + sigma * eps is.

    Only the ray through (alpha, sigma) matters to a denoiser; its length is a frame:

    | frame | length fixed to 1    | who                                                 |
    |-------|----------------------|-----------------------------------------------------|
    | `ve`  | alpha                | NCSN, EDM, k-diffusion                              |
    | `vp`  | hypot(alpha, sigma)  | DDPM, DDIM, cosine                                  |
    | `rf`  | alpha + sigma        | rectified flow, flow matching, alpha-blending, SD3  |

    alpha, sigma: float64, () while sampling, (B,) in training, or (B, T) where each frame of clips x (B, C, T, *S) has a level of its own.
    """

    alpha: Tensor
    sigma: Tensor

    @property
    def half_logsnr(self) -> Tensor:
        """log(alpha / sigma), the lambda of DPM-Solver (Lu et al. 2022)."""
        return self.alpha.log() - self.sigma.log()

    @property
    def snr(self) -> Tensor:
        """(alpha / sigma)², the signal-to-noise ratio."""
        return (self.alpha / self.sigma).square()

    @property
    def clean(self) -> bool:
        """Whether no noise is left."""
        return bool((self.sigma == 0).all())

    def like(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both weights in x's dtype and device, shaped to broadcast over (B, ...)."""
        own = self.alpha.shape
        shape = (*own[:1], *[1] * bool(own), *own[1:], *[1] * (x.ndim - 1 - len(own))) if own else ()  # (), (B, 1, 1, …) or (B, 1, T, 1, …)
        return self.alpha.to(x).reshape(shape), self.sigma.to(x).reshape(shape)

    def mix(self, x0: Tensor, eps: Tensor) -> Tensor:
        """alpha * x0 + sigma * eps: the jump q(x_t | x_0) (Ho et al. 2020, eq. 4) when eps is standard normal."""
        alpha, sigma = self.like(x0)
        return alpha * x0 + sigma * eps

    def eps(self, x: Tensor, x0: Tensor) -> Tensor:
        """The noise that, with x0, makes x."""
        alpha, sigma = self.like(x)
        return (x - alpha * x0) / sigma

    def framed(self, frame: str) -> "Level":
        """The same ray with the length that `frame` fixes to 1."""
        length = LENGTH[frame](self.alpha, self.sigma)
        return Level(self.alpha / length, self.sigma / length)

    def kept(self, noisier: "Level") -> Tensor:
        """The share of the noise at `noisier` that a step down to here may keep: SNR-ratio to the half, in [0, 1].

        kept = (alpha' / sigma') / (alpha / sigma). The rest is what chance may renew: DDPM renews all of it, DDIM nothing.
        """
        return (noisier.alpha * self.sigma) / (self.alpha * noisier.sigma)

    def noisier(self, x: Tensor, here: "Level", eps: Tensor) -> Tensor:
        """x, at level `here`, taken up to this noisier level by fresh noise: the single step q(x_t | x_s), s < t.

        x_t = (alpha_t / alpha_s) x_s + sqrt(sigma_t² - (alpha_t sigma_s / alpha_s)²) eps   (Ho et al. 2020, eq. 2, for any two levels)
        """
        ratio = self.alpha / here.alpha
        added = (self.sigma.square() - (ratio * here.sigma).square()).clamp(min=0).sqrt()
        return Level(ratio, added).mix(x, eps)
