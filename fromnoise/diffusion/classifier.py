"""Classifier guidance: a denoiser's prediction moved along the gradient of log p(y | x)."""

from collections.abc import Callable

import torch
from torch import Tensor

from .denoiser import Denoise
from .level import Level

LogP = Callable[[Tensor, Tensor, Level], Tensor]  # (x, x0, level) -> log p(y | x) (B,), x0 the denoiser's estimate


def classified(denoise: Denoise, log_p: LogP, scale: float = 1.0, low: float = 0.0, high: float = float("inf")) -> Denoise:
    """eps - scale sigma ∇ log p(y | x), with the x0 that it makes with x, where low < sigma / alpha <= high; elsewhere `denoise` alone.

    Dhariwal & Nichol (2021), eq. 14. A classifier of noisy x takes (x, level); one of clean pictures takes x0, and the gradient then runs
    through the denoiser (universal guidance, Bansal et al. 2023). With scale = 1 and the true p(y | x) x0 is E[x0 | x, y]. Near alpha = 0 it
    divides something small by alpha: a learnt p wants a `high`.
    """

    def steered(x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        if not low < float((level.sigma / level.alpha).max()) <= high:
            return denoise(x, level)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            x0, eps = denoise(x, level)
            (gradient,) = torch.autograd.grad(log_p(x, x0, level).sum(), x)
        alpha, sigma = level.like(x)
        return (x0 + scale * sigma**2 / alpha * gradient).detach(), (eps - scale * sigma * gradient).detach()

    return steered


def log_class(classify: Callable[[Tensor], Tensor], labels: Tensor) -> LogP:
    """log p(label | x0) by a classifier of clean pictures, (B, C, *S) -> logits (B, K); labels (B,)."""

    def log_p(x: Tensor, x0: Tensor, level: Level) -> Tensor:
        return classify(x0).float().log_softmax(1).gather(1, labels.to(x0.device)[:, None])[:, 0]

    return log_p
