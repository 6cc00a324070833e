"""The training loss: one line of arithmetic for every process, prediction type and weight."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Usage
from ..registry import lookup
from . import predict
from .denoiser import Denoiser
from .level import Level
from .weight import WEIGHTS, Weight

Distance = Callable[[Tensor, Tensor], Tensor]  # (a, b), both (B, C, *S) -> the same shape
Penalty = Callable[[Tensor, Tensor], Tensor]  # (x0_hat, x0), both (B, C, *S) -> (B,)


def mse(a: Tensor, b: Tensor) -> Tensor:
    """The squared error."""
    return (a - b).square()


def l1(a: Tensor, b: Tensor) -> Tensor:
    """The absolute error."""
    return (a - b).abs()


def huber(a: Tensor, b: Tensor) -> Tensor:
    """Half the squared error up to 1, the absolute error less 1/2 above."""
    return F.huber_loss(a, b, reduction="none")


DISTANCES: dict[str, Distance] = {"mse": mse, "l1": l1, "huber": huber}


def loss(
    denoiser: Denoiser, x0: Tensor, level: Level, context: Any = None, eps: Tensor | None = None,
    weight: str | Weight = "flat", distance: str | Distance = "mse", penalty: str | Penalty | None = None,
) -> Tensor:  # fmt: skip
    """weight(level) · mean over all but the batch of distance(F, a x0 + b eps), (B,).

    x0 (B, C, *S) clean data; level with (B,) weights; eps like x0, standard normal when it isn't given. `penalty(x0_hat, x0) -> (B,)` is
    added, in the manner of alpha-blending's fourth term 1 - SSIM. weight, distance and penalty are names of `WEIGHTS`, `DISTANCES` and
    `PENALTIES` or `module:name`, or functions. Raises Usage where one of them gives a tensor of another shape.
    """
    eps = torch.randn_like(x0) if eps is None else eps
    x = level.mix(x0, eps)
    F_hat = denoiser.raw(x, level, context)
    target = predict.target(denoiser.predict, level, x0, eps, denoiser.data_std)
    error = _shaped(lookup(DISTANCES, distance, "distance")(F_hat, target), F_hat.shape, "distance", distance).flatten(1).mean(1)
    factor = lookup(WEIGHTS, weight, "weight")(level, denoiser.c_out(level), denoiser.data_std)
    value = _shaped(factor, level.alpha.shape, "weight", weight).to(error) * error
    if penalty is not None:
        x0_hat = predict.solve(denoiser.predict, level, x, F_hat, denoiser.data_std)[0]
        value = value + _shaped(lookup(PENALTIES, penalty, "penalty")(x0_hat, x0), error.shape, "penalty", penalty)
    return value


def _shaped(found: Tensor, shape: torch.Size, what: str, name: Any) -> Tensor:
    if found.shape != shape:
        raise Usage(f"the {what} {getattr(name, '__name__', name)} gives {tuple(found.shape)} where it must give {tuple(shape)}")
    return found


def ssim(a: Tensor, b: Tensor, window: int = 7) -> Tensor:
    """1 - SSIM of two batches of pictures in [-1, 1] (Wang et al. 2004), with a flat window, as a penalty; (B, C, H, W) -> (B,)."""
    a, b, side = a / 2 + 0.5, b / 2 + 0.5, min(window, *a.shape[-2:])

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, side, 1)

    mean_a, mean_b = mean(a), mean(b)
    unbiased = side**2 / (side**2 - 1)  # sample covariance, as in scikit-image
    var_a, var_b = (mean(a * a) - mean_a**2) * unbiased, (mean(b * b) - mean_b**2) * unbiased
    cov = (mean(a * b) - mean_a * mean_b) * unbiased
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return 1 - value.flatten(1).mean(1)


PENALTIES: dict[str, Penalty] = {"ssim": ssim}
