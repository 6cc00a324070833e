"""Inpainting: a part of a picture made new, to fit the rest."""

from typing import Any

import torch
from torch import Tensor

from ..diffusion import Denoise, inpainted
from ..errors import Usage
from ..model import Model


def inpaint(model: Model, known: Tensor, mask: Tensor, n: int = 1, sampler: str = "repaint", steps: int = 50, **asked: Any) -> Tensor:
    """n pictures (n, C, *S) that are `known` (n or 1, C, *S) where mask = 0, bit for bit, and the model's where mask = 1.

    mask (n or 1, 1 or C, *S), or broadcast to that, in [0, 1]. sampler: `repaint` goes back and forth so that both parts agree (Lugmayr et al. 2022);
    any other replaces the known part at every step, which is faster and agrees less. asked: seed, options, conditions, … as in `Model.sample`.
    """
    known = model.fitted(known, n)
    try:
        mask = torch.broadcast_to(mask.to(known), (len(mask) if mask.ndim == known.ndim else 1, *model.shape))
    except RuntimeError as error:
        raise Usage(f"the mask is {tuple(mask.shape)}, the model's samples are {model.shape}; resize it first") from error
    model.fitted(mask, n)

    def guide(denoise: Denoise, which: slice) -> Denoise:
        mine = (part[which] if len(part) > 1 else part for part in (known, mask))
        return inpainted(denoise, *mine)

    made = model.sample(n, sampler=sampler, steps=steps, guide=guide, **asked)
    return torch.lerp(known.to(made), made, mask.to(made))
