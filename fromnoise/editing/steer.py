"""Classifier guidance: samples of a class from a model that need not know it."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..diffusion import Denoise, classified, log_class
from ..errors import Usage
from ..model import Model

NOISIEST = 100.0  # sigma / alpha: beyond, alpha is all but 0, and the gradient would be divided by it


def steer(
    model: Model, labels: Tensor, classify: Callable[[Tensor], Tensor], scale: float = 5.0, high: float = NOISIEST, **asked: Any
) -> Tensor:
    """Samples (n, C, *S) led to labels (n,) by a classifier of clean pictures, (B, C, *S) -> logits (B, K); see `diffusion.classified`.

    high: the classifier is heard where sigma / alpha <= high. asked: sampler, steps, seed, conditions, … as in `Model.sample`; conditions that are
    not mentioned ask nothing.
    """
    if not abs(scale) < float("inf"):
        raise Usage(f"scale is a finite number, not {scale}")

    def guide(denoise: Denoise, which: slice) -> Denoise:
        return classified(denoise, log_class(classify, labels[which]), scale, high=high)

    asked = {key: None for key in model.conditions} | asked
    return model.sample(len(labels), guide=guide, **asked)
