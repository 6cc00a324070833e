"""The training loss: one line of arithmetic for every process, prediction type and weight."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..registry import lookup
from . import predict
from .denoiser import Denoiser
from .level import Level
from .weight import Weight, flat

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": lambda a, b: (a - b).square(),
    "l1": lambda a, b: (a - b).abs(),
    "huber": lambda a, b: F.huber_loss(a, b, reduction="none"),
}


def loss(
    denoiser: Denoiser,
    x0: Tensor,
    level: Level,
    context: Any = None,
    eps: Tensor | None = None,
    weight: Weight = flat,
    distance: str | Callable[[Tensor, Tensor], Tensor] = "mse",
    penalty: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """weight(level) · mean over all but the batch of distance(F, a x0 + b eps), (B,).

    x0 (B, C, *S) clean data; level with (B,) weights; eps like x0, standard normal when it isn't given. `penalty(x0_hat, x0) -> (B,)` is
    added, in the manner of alpha-blending's fourth term 1 - SSIM.
    """
    eps = torch.randn_like(x0) if eps is None else eps
    x = level.mix(x0, eps)
    answer = denoiser.raw(x, level, context)
    wanted = predict.target(denoiser.predict, level, x0, eps, denoiser.data_std)
    error = lookup(DISTANCES, distance, "distance")(answer, wanted).flatten(1).mean(1)
    value = weight(level, denoiser.c_out(level), denoiser.data_std).to(error) * error
    if penalty is not None:
        value = value + penalty(predict.solve(denoiser.predict, level, x, answer, denoiser.data_std)[0], x0)
    return value


def ssim(a: Tensor, b: Tensor, window: int = 7) -> Tensor:
    """1 - SSIM of two batches of pictures in [-1, 1] (Wang et al. 2004), with a flat window, as a penalty; (B, C, H, W) -> (B,)."""
    a, b = a / 2 + 0.5, b / 2 + 0.5

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, min(window, *a.shape[-2:]), 1)

    mean_a, mean_b = mean(a), mean(b)
    n = min(window, *a.shape[-2:]) ** 2
    unbiased = n / (n - 1)  # sample covariance, as in scikit-image
    var_a, var_b = (mean(a * a) - mean_a**2) * unbiased, (mean(b * b) - mean_b**2) * unbiased
    cov = (mean(a * b) - mean_a * mean_b) * unbiased
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return 1 - value.flatten(1).mean(1)


PENALTIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ssim": ssim}
