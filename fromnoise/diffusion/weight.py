"""How much each level counts: weights (level, data_std) -> (B,), all stated for the error of x0.

The loss is measured on the network's prediction F, where a weight for x0 becomes weight · c_out²; `flat` alone is stated there: each
paper's own plain MSE.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .level import Level

Weight = Callable[[Level, Tensor, float], Tensor]  # (level, c_out, data_std) -> (B,), the factor on the squared error of F


def flat(level: Level, c_out: Tensor, data_std: float) -> Tensor:
    """1 on the network's own prediction: DDPM's L_simple, flow matching, v-prediction."""
    return torch.ones_like(c_out)


def min_snr(level: Level, c_out: Tensor, data_std: float, gamma: float = 5.0) -> Tensor:
    """min(SNR, gamma) on the error of x0 (Hang et al. 2023, eq. 8)."""
    return level.snr.clamp(max=gamma) * c_out.square()


def edm(level: Level, c_out: Tensor, data_std: float) -> Tensor:
    """lambda(sigma) = (sigma² + s²) / (sigma s)² on the error of x0, s the data's spread (Karras et al. 2022, table 1)."""
    return (level.sigma.square() + (level.alpha * data_std).square()) / (level.sigma * data_std).square() * c_out.square()


def sigmoid(level: Level, c_out: Tensor, data_std: float, bias: float = 2.0) -> Tensor:
    """sigmoid(bias - log SNR) on the error of eps (Kingma & Gao 2023; Hoogeboom et al. 2024)."""
    return torch.sigmoid(bias - 2 * level.half_logsnr) * level.snr * c_out.square()


def three_term(level: Level, c_out: Tensor, data_std: float) -> Tensor:
    """MSE(v) + MSE(eps) + MSE(x0) of alpha-blending in one weight: on the error of v it is 1 + (1 - t)² + t², t = sigma / (alpha + sigma)."""
    t = level.framed("rf").sigma
    return (1 + (1 - t).square() + t.square()) / t.square() * c_out.square()


WEIGHTS: dict[str, Weight] = {"flat": flat, "min_snr": min_snr, "edm": edm, "sigmoid": sigmoid, "three_term": three_term}
