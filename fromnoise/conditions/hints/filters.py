"""Filters on any number of axes."""

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def blur(x: Tensor, sigma: float) -> Tensor:
    """x (B, C, *S) under a Gaussian of standard deviation `sigma` pixels, edges repeated."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device).square() / (2 * sigma**2))
    for axis in range(2, x.ndim):
        x = along(x, kernel / kernel.sum(), axis)
    return x


def sobel(x: Tensor) -> Tensor:
    """The derivative of x (B, C, *S) along each axis by Sobel's kernels, (axes, B, C, *S)."""
    smooth, slope = x.new_tensor([0.25, 0.5, 0.25]), x.new_tensor([-0.5, 0.0, 0.5])
    found = [x] * (x.ndim - 2)
    for axis in range(2, x.ndim):
        found = [along(part, slope if axis == which else smooth, axis) for which, part in enumerate(found, 2)]
    return torch.stack(found)


def along(x: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """x correlated with a kernel of odd length along one axis, edges repeated."""
    reach, length = len(kernel) // 2, x.shape[axis]
    x = x.index_select(axis, torch.arange(-reach, length + reach, device=x.device).clamp(0, length - 1))
    return sum(weight * x.narrow(axis, i, length) for i, weight in enumerate(kernel))  # type: ignore[return-value]


def shifted(x: Tensor, offset: Sequence[int]) -> Tensor:
    """At each pixel, x (B, C, *S) of the pixel `offset` further, edges repeated."""
    for axis, step in enumerate(offset, 2):
        if step:
            x = x.index_select(axis, (torch.arange(x.shape[axis], device=x.device) + step).clamp(0, x.shape[axis] - 1))
    return x


def dilated(mask: Tensor, reach: int = 1) -> Tensor:
    """The pixels of a mask (B, C, *S), bool, and those up to `reach` beside them, diagonals too."""
    return POOLS[mask.ndim - 2](mask.float(), 2 * reach + 1, 1, reach) > 0


def directions(axes: int) -> Iterator[tuple[int, ...]]:
    """One of each pair of opposite neighbours: on two axes (0, 1), (1, -1), (1, 0), (1, 1)."""
    return (offset for offset in itertools.product((-1, 0, 1), repeat=axes) if offset > (0,) * axes)
