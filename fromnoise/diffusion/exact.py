"""Denoisers known in closed form: the tests' truth, and the student's toy."""

import math

import torch
from torch import Tensor

from .denoiser import Denoise
from .level import Level


def mixture(means: Tensor, stds: Tensor, weights: Tensor | None = None) -> Denoise:
    """E[x0 | x] of the mixture sum_k w_k N(m_k, s_k² I); means (K, *shape), stds (K,), weights (K,), x (B, *shape).

    r_k = w_k N(x; alpha m_k, (alpha² s_k² + sigma²) I), x0 = sum_k r_k (m_k + alpha s_k² (x - alpha m_k) / (alpha² s_k² + sigma²)) / sum_k r_k
    """
    log_weights = torch.zeros(len(means)) if weights is None else weights.log()

    def denoise(x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        flat, m, s2 = x.flatten(1)[:, None], means.flatten(1).to(x), stds.to(x)[:, None].square()  # (B, 1, D), (K, D), (K, 1)
        alpha, sigma = level.like(flat)
        spread = alpha**2 * s2 + sigma**2  # (K, 1) or (B, K, 1)
        apart = flat - alpha * m  # (B, K, D)
        log_r = log_weights.to(x) - (apart.square() / spread).sum(-1) / 2 - spread[..., 0].log() * m.shape[1] / 2
        x0 = (log_r.softmax(-1)[..., None] * (m + alpha * s2 * apart / spread)).sum(1).reshape(x.shape)
        return x0, level.eps(x, x0)

    return denoise


def gaussian(mean: float | Tensor = 0.0, std: float = 1.0) -> Denoise:
    """E[x0 | x] of x0 ~ N(mean, std² I): mean + alpha std² (x - alpha mean) / (alpha² std² + sigma²)."""

    def denoise(x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        alpha, sigma = level.like(x)
        m = torch.as_tensor(mean).to(x)
        x0 = m + alpha * std**2 * (x - alpha * m) / (alpha**2 * std**2 + sigma**2)
        return x0, level.eps(x, x0)

    return denoise


def dataset(points: Tensor) -> Denoise:
    """E[x0 | x] when the data are exactly these points (N, *shape), each as likely: what a network that memorised them would predict."""
    return mixture(points, torch.zeros(len(points)))


def log_gaussian(x: Tensor, std: float | Tensor) -> Tensor:
    """log N(x; 0, std² I) in nats, (B, *shape) -> (B,)."""
    std, d = torch.as_tensor(std, dtype=x.dtype), x[0].numel()
    return -x.flatten(1).square().sum(1) / (2 * std**2) - d * (std.log() + math.log(2 * math.pi) / 2)
