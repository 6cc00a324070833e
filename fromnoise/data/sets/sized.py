"""A set's pictures at another side."""

from copy import copy
from typing import Annotated, Any, final

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import Within
from ..dataset import Dataset, Wrapped

Side = Annotated[int, Within(1, 1024)]
Count = Annotated[int, Within(1, 10**9)]


@final
class Sized(Wrapped):
    """A set of square pictures (C, S, S) at another side: a smaller one by antialiased bilinear resizing.

    A larger one is padded with black (0 of bytes, -1 of floats), on each side alike, the odd pixel right and below, where the pictures lie on
    black; others are resized to it too. What is stored keeps its dtype: bytes are rounded.
    """

    def __init__(self, base: Dataset, size: int, on_black: bool = True):
        super().__init__(base)
        self.size, self.on_black, self.shape = size, on_black, (base.shape[0], size, size)

    def take(self, indices: Tensor) -> dict[str, Any]:
        batch = self.base.take(indices)
        x, more = batch["x"], self.size - self.base.shape[-1]
        whole = x.dtype == torch.uint8
        if more > 0 and self.on_black:
            sides = (more // 2, more - more // 2)
            return batch | {"x": F.pad(x, (*sides, *sides), value=0 if whole else -1)}
        resized = F.interpolate(x.float(), (self.size, self.size), mode="bilinear", antialias=True)
        return batch | {"x": resized.round().to(torch.uint8) if whole else resized}

    def to(self, device: torch.device | str) -> "Sized":
        moved = copy(self)
        moved.base = self.base.to(device)
        return moved


def sized(base: Dataset, size: int | None, on_black: bool = True) -> Dataset:
    """The set at this side; as it is where there is none, or it has that side."""
    return base if size in (None, base.shape[-1]) else Sized(base, size, on_black)
