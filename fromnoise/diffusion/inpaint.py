"""Inpainting by replacement: what is known of a picture takes the place of what the denoiser predicts."""

import torch
from torch import Tensor

from .denoiser import Denoise
from .level import Level


def inpainted(denoise: Denoise, known: Tensor, mask: Tensor) -> Denoise:
    """x0 that is `known` where mask = 0 and the denoiser's where mask = 1, mask · x0 + (1 - mask) · known, with the eps that then makes x.

    So a deterministic sampler carries alpha known + sigma eps along with eps as it began, and DDPM draws that part from q(x_s | x_t, known)
    (Song et al. 2021, appendix I.2; Lugmayr et al. 2022, eq. 8). known, mask broadcast to x (B, C, *S).
    """

    def replaced(x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        x0 = torch.lerp(known.to(x), denoise(x, level)[0], mask.to(x))  # lerp is exact at both ends
        return x0, level.eps(x, x0)

    return replaced
