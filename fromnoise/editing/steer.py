"""Classifier guidance: samples of a class from a model that need not have classes."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..diffusion import Denoise, classified, log_class
from ..errors import Usage
from ..model import Model, Sampling
from .guide import with_guide

NOISIEST = 100.0  # sigma / alpha: beyond, alpha is all but 0, and the gradient would be divided by it


def steer(
    model: Model,
    labels: Tensor,
    classify: Callable[[Tensor], Tensor],
    scale: float = 5.0,
    high: float = NOISIEST,
    sampling: Sampling | None = None,
    **conditions: Any,
) -> Tensor:
    """Samples (n, C, *S) led to labels (n,) by a classifier of clean pictures, (B, C, *S) -> logits (B, K); see `diffusion.classified`.

    high: the classifier counts where sigma / alpha <= high. Conditions that are not mentioned are null.
    """
    if not abs(scale) < float("inf"):
        raise Usage(f"scale is a finite number, not {scale}")

    def guide(denoise: Denoise, which: slice) -> Denoise:
        return classified(denoise, log_class(classify, labels[which]), scale, high=high)

    n = len(labels)
    return model.sample(n, with_guide(sampling or model.sampling, guide), **model.with_defaults(n, model.unconditional(**conditions)))
