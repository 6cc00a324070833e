"""Inversion: the noise that a picture would come from; and pictures from noise beside it."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .. import samplers
from ..diffusion import Last
from ..errors import Usage
from ..model import Model, Sampling, check_images, guided_denoiser, inference_mode
from .interpolate import slerp


def inversion(model: Model) -> Sampling:
    """How pictures are inverted and drawn again unless it is said otherwise: DDIM in 50 steps, guidance 1, clip none, over the model's own sampling."""
    return replace(model.sampling, sampler="ddim", steps=50, options={}, guidance=1.0, negative=None, weak=None, clip="none")


def invert(model: Model, x0: Tensor, sampling: Sampling | None = None, iterations: int = 5, **conditions: Any) -> Tensor:
    """The noise (n, C, *S) from which DDIM draws pictures x0 (n, C, *S), by DDIM inversion; see `samplers.invert`.

    `model.sample(n, replace(sampling, start=noise), **conditions)` brings them back; sampling None is `inversion(model)`. Conditions that are not
    mentioned are null here; give them as None there. Guidance over 1 pulls the fixed point apart and loses accuracy.
    """
    sampling = sampling or inversion(model)
    if sampling.sampler not in ("ddim", samplers.ddim) or sampling.options:
        raise Usage("an inversion is of DDIM without noise of its own; choose sampler ddim and no options")
    if sampling.steps < 2:
        raise Usage(f"an inversion takes at least 2 steps, not {sampling.steps}")
    if iterations < 1:
        raise Usage(f"each step of the inversion takes at least 1 iteration, not {iterations}")
    n = len(x0)
    check_images(model.shape, x0, n)
    denoise = guided_denoiser(model, n, sampling, model.with_defaults(n, model.unconditional(**conditions)), last := Last())
    denoise = last.of(sampling.clip_x0(sampling.guide(denoise, range(n)) if sampling.guide else denoise))
    levels = model.sampling_schedule(sampling).levels(sampling.steps)
    with torch.no_grad():
        x = model.autoencoder.encode(x0.to(model.device, torch.float32))
    for x, _ in inference_mode(model, samplers.invert(denoise, x, levels, iterations)):  # noqa: B007, B020
        pass
    return x


def vary(model: Model, x0: Tensor, n: int, strength: float = 0.2, sampling: Sampling | None = None, **conditions: Any) -> Tensor:
    """n variations (n, C, *S) of one picture x0 (1, C, *S): its noise, turned a share `strength` of the way to fresh noise (0 it, 1 another). sampling and
    conditions as in `invert`; its seed is that of the fresh noise."""
    if not 0 <= strength <= 1:
        raise Usage(f"strength is the share of the way to another picture, 0 <= strength <= 1, not {strength}")
    if n < 1:
        raise Usage(f"draw at least 1 variation, not {n}")
    sampling, conditions = sampling or inversion(model), model.unconditional(**conditions)
    fresh = model.start(n, sampling.seed, sampling.first, model.sampling_schedule(sampling))
    turned = slerp(invert(model, x0, sampling, **conditions), fresh, strength)
    return model.sample(n, replace(sampling, start=turned), **model.with_defaults(n, conditions))
