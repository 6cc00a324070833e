"""Pictures made of pictures, to condition on: what is left of x when something of it is taken away."""

from collections.abc import Callable

import torch
from torch import Tensor

Hint = Callable[[Tensor, torch.Generator | None], Tensor]


def grey(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Brightness alone, for colourisation; (B, C, *S) in [-1, 1] -> (B, 1, *S). ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    weights = x.new_tensor([0.299, 0.587, 0.114]).reshape(1, 3, *[1] * (x.ndim - 2))
    return (x * weights).sum(1, keepdim=True)


HINTS: dict[str, Hint] = {"grey": grey}
