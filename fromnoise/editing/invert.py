"""Inversion: the noise that a picture would come from; and pictures from noise beside it."""

from typing import Any

import torch
from torch import Tensor

from .. import samplers
from ..errors import Usage
from ..model import Model
from .interpolate import slerp

ITERATIONS = 5


def invert(model: Model, x0: Tensor, steps: int = 50, iterations: int = ITERATIONS, guidance: float = 1.0, **conditions: Any) -> Tensor:
    """The noise (n, C, *S) from which DDIM draws pictures x0 (n, C, *S) in so many steps, by DDIM inversion; see `samplers.invert`.

    `model.sample(n, start=noise, sampler="ddim", steps=steps, guidance=guidance, clip="none", options={}, **conditions)` brings them back. Conditions
    that are not mentioned ask nothing here; say so there with None. Guidance over 1 pulls the fixed point apart and loses accuracy.
    """
    if steps < 2:
        raise Usage(f"an inversion takes at least 2 steps, not {steps}")
    if iterations < 1:
        raise Usage(f"each step of the inversion takes at least 1 iteration, not {iterations}")
    n = len(model.fitted(x0, len(x0)))
    asked = model.asked(n, {key: None for key in model.conditions} | conditions)
    plan = model.plan("ddim", steps=steps, guidance=guidance, clip="none", options={})
    denoise = model.bind(plan, n, asked)
    x = x0.to(model.device, torch.float32)
    for x, _ in model.quietly(samplers.invert(denoise, x, model.grid.levels(steps), iterations)):  # noqa: B007, B020
        pass
    return x


def vary(model: Model, x0: Tensor, n: int, strength: float = 0.2, steps: int = 50, seed: int = 0, **conditions: Any) -> Tensor:
    """n variations (n, C, *S) of one picture x0 (1, C, *S): its noise, turned a share `strength` of the way to fresh noise (0 it, 1 another)."""
    if not 0 <= strength <= 1:
        raise Usage(f"strength is the share of the way to another picture, 0 <= strength <= 1, not {strength}")
    if n < 1:
        raise Usage(f"draw at least 1 variation, not {n}")
    conditions = {key: None for key in model.conditions} | conditions
    turned = slerp(invert(model, x0, steps, **conditions), model.start(n, seed), strength)
    return model.sample(n, start=turned, sampler="ddim", steps=steps, guidance=1.0, clip="none", options={}, seed=seed, **conditions)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures (n, C, *S) in [-1, 1], in dB, (n,): 10 log10(2² / mean squared error)."""
    return 10 * (4 / (a - b).double().square().flatten(1).mean(1)).log10()
