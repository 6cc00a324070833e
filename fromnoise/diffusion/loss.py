"""The training loss: one line of arithmetic for every process, prediction type and weight."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Usage, Within
from ..registry import lookup
from . import predict
from .denoiser import Denoiser
from .level import Level

Weight = Callable[[Level, Tensor, float], Tensor]  # (level, c_out, data_std) -> (B,), the factor on the squared error of F
Distance = Callable[[Tensor, Tensor], Tensor]  # (a, b), both (B, C, *S) -> the same shape
Penalty = Callable[[Tensor, Tensor], Tensor]  # (x0_hat, x0), both (B, C, *S) -> (B,)

# Weights are stated for the error of x0, where a factor on the error of the network's prediction F becomes factor · c_out²; `flat` alone is
# stated for F: each paper's own plain MSE.


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


def mse(a: Tensor, b: Tensor) -> Tensor:
    """The squared error."""
    return (a - b).square()


def l1(a: Tensor, b: Tensor) -> Tensor:
    """The absolute error."""
    return (a - b).abs()


def huber(a: Tensor, b: Tensor, delta: Annotated[float, Within(1e-6, 10**6)] = 1.0) -> Tensor:
    """Half the squared error up to delta, delta times the absolute error less delta / 2 above (Huber 1964).

    delta  where one becomes the other
    """
    return F.huber_loss(a, b, reduction="none", delta=delta)


DISTANCES: dict[str, Distance] = {"mse": mse, "l1": l1, "huber": huber}


def loss(
    denoiser: Denoiser, x0: Tensor, level: Level, context: Any = None, eps: Tensor | None = None,
    weight: str | Weight = "flat", distance: str | Distance = "mse", penalty: str | Penalty | None = None,
) -> Tensor:  # fmt: skip
    """weight(level) · mean over all but the batch of distance(F, a x0 + b eps), (B,).

    x0 (B, C, *S) clean data; level with (B,) weights, or (B, T) for the frames of clips (B, C, T, *S), each of which is weighed by its own; eps like x0,
    standard normal when it isn't given. `penalty(x0_hat, x0) -> (B,)` is added, in the manner of alpha-blending's fourth term 1 - SSIM. weight, distance
    and penalty are names of `WEIGHTS`, `DISTANCES` and `PENALTIES` or `module:name`, or functions. Raises Usage where one gives a tensor of another shape.
    """
    eps = torch.randn_like(x0) if eps is None else eps
    x = level.mix(x0, eps)
    F_hat = denoiser.raw(x, level, context)
    target = predict.target(denoiser.predict, level, x0, eps, denoiser.data_std)
    error = _shaped(lookup(DISTANCES, distance, "distance")(F_hat, target), F_hat.shape, "distance", distance)
    error = error.flatten(1).mean(1) if level.alpha.ndim < 2 else error.transpose(1, 2).flatten(2).mean(2)  # (B,), or (B, T)
    factor = lookup(WEIGHTS, weight, "weight")(level, predict.c_out(denoiser.predict, level, denoiser.data_std), denoiser.data_std)
    value = (_shaped(factor, level.alpha.shape, "weight", weight).to(error) * error).reshape(len(x0), -1).mean(1)
    if penalty is not None:
        x0_hat = predict.solve(denoiser.predict, level, x, F_hat, denoiser.data_std)[0]
        value = value + _shaped(lookup(PENALTIES, penalty, "penalty")(x0_hat, x0), x0.shape[:1], "penalty", penalty)
    return value


def _shaped(found: Tensor, shape: torch.Size, what: str, name: Any) -> Tensor:
    if found.shape != shape:
        raise Usage(f"the {what} {getattr(name, '__name__', name)} gives {tuple(found.shape)} where it must give {tuple(shape)}")
    return found


def ssim(a: Tensor, b: Tensor, window: int = 7) -> Tensor:
    """1 - SSIM of two batches of pictures in [-1, 1] (Wang et al. 2004), with a flat window, as a penalty; (B, C, H, W) -> (B,)."""
    if a.ndim != 4:
        raise Usage(f"the penalty ssim is for pictures (C, H, W), not for examples of shape {tuple(a.shape[1:])}; leave it out")
    a, b, side = a / 2 + 0.5, b / 2 + 0.5, min(window, *a.shape[-2:])
    mean = partial(F.avg_pool2d, kernel_size=side, stride=1)
    mean_a, mean_b = mean(a), mean(b)
    unbiased = side**2 / (side**2 - 1)  # sample covariance, as in scikit-image
    var_a, var_b = (mean(a * a) - mean_a**2) * unbiased, (mean(b * b) - mean_b**2) * unbiased
    cov = (mean(a * b) - mean_a * mean_b) * unbiased
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return 1 - value.flatten(1).mean(1)


PENALTIES: dict[str, Penalty] = {"ssim": ssim}
