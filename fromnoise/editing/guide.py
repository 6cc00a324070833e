"""Editing by a guide beside that of a sampling: inpainting, and classifier guidance for models that need not have classes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..diffusion import Denoise, classified, inpainted, log_class
from ..errors import Usage
from ..model import Model, Sampling, check_images, in_latents

NOISIEST = 100.0  # sigma / alpha: beyond, alpha is all but 0, and a classifier's gradient would be divided by it


def with_guide(sampling: Sampling, guide: Callable[[Denoise, slice], Denoise]) -> Sampling:
    """The sampling, its prediction changed by guide(denoise, which of the samples) after its own guide, if it has one."""
    own, first = sampling.guide, sampling.first

    def both(denoise: Denoise, numbers: range) -> Denoise:
        return guide(own(denoise, numbers) if own else denoise, slice(numbers.start - first, numbers.stop - first))

    return replace(sampling, guide=both)


def inpaint(model: Model, known: Tensor, mask: Tensor, n: int = 1, sampling: Sampling | None = None, **conditions: Any) -> Tensor:
    """n pictures (n, C, *S) that are `known` (n or 1, C, *S) where mask = 0, bit for bit, and the model's where mask = 1.

    mask (n or 1, 1 or C, *S), or broadcast to that, in [0, 1]. sampling: None is `repaint` in 50 steps over the model's own, which goes back and
    forth so that both parts agree (Lugmayr et al. 2022); other samplers replace the known part at every step, which is faster and agrees less.
    """
    check_images(model.shape, known, n)
    try:
        mask = torch.broadcast_to(mask.to(known), (len(mask) if mask.ndim == known.ndim else 1, *model.shape))
    except RuntimeError as error:
        raise Usage(f"the mask is {tuple(mask.shape)}, the model's samples are {model.shape}; resize it first") from error
    check_images(model.shape, mask, n)
    latents = in_latents(model, known, mask)

    def guide(denoise: Denoise, which: slice) -> Denoise:
        return inpainted(denoise, *(part[which] if len(part) > 1 else part for part in latents))

    sampling = with_guide(sampling or model.sampling.merged({"sampler": "repaint", "steps": 50}), guide)
    made = model.sample(n, sampling, **model.with_defaults(n, conditions))
    return torch.lerp(known.to(made), made, mask.to(made))


def steer(
    model: Model, labels: Tensor, classify: Callable[[Tensor], Tensor], scale: float = 5.0, high: float = NOISIEST,
    sampling: Sampling | None = None, **conditions: Any,
) -> Tensor:  # fmt: skip
    """Samples (n, C, *S) led to labels (n,) by a classifier of clean pictures, (B, C, *S) -> logits (B, K); see `diffusion.classified`. high: the classifier counts
    where sigma / alpha <= high. Conditions that are not mentioned are null."""
    if not abs(scale) < float("inf"):
        raise Usage(f"scale is a finite number, not {scale}")

    def guide(denoise: Denoise, which: slice) -> Denoise:
        return classified(denoise, log_class(lambda z: classify(model.decode(z)), labels[which]), scale, high=high)

    n = len(labels)
    return model.sample(n, with_guide(sampling or model.sampling, guide), **model.with_defaults(n, model.unconditional(**conditions)))
