"""Inpainting: a part of a picture made new, to fit the rest."""

from typing import Any

import torch
from torch import Tensor

from ..diffusion import Denoise, inpainted
from ..errors import Usage
from ..model import Model, Sampling, check_images
from .guide import with_guide


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

    def guide(denoise: Denoise, which: slice) -> Denoise:
        return inpainted(denoise, *(part[which] if len(part) > 1 else part for part in (known, mask)))

    sampling = with_guide(sampling or model.sampling.merged({"sampler": "repaint", "steps": 50}), guide)
    made = model.sample(n, sampling, **model.with_defaults(n, conditions))
    return torch.lerp(known.to(made), made, mask.to(made))
