"""Convolutions and pixel folding on one, two or three axes."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import Usage

CONVS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
WIDE = 96  # channels from which a CPU's convolutions gain more from channels last than its other layers lose, as measured


def conv_class(axes: int) -> type[nn.Module]:
    """The convolution on 1, 2 or 3 axes; raises Usage for other numbers."""
    if axes not in CONVS:
        raise Usage(f"this network needs examples (C, *S) of 1 to 3 axes, not of {axes}; for points choose network=mlp, or autoencoder=mlp_vae")
    return CONVS[axes]


def conv(axes: int, channels_in: int, channels_out: int, kernel: int = 3) -> nn.Module:
    """A convolution that keeps the size, on 1, 2 or 3 axes."""
    return conv_class(axes)(channels_in, channels_out, kernel, padding=kernel // 2)


def padded(x: Tensor, multiple: int) -> Tensor:
    """x (B, C, *S) with copies of its far edges, as few as make every side a multiple of this."""
    pad = [amount for size in reversed(x.shape[2:]) for amount in (0, -size % multiple)]
    return F.pad(x, pad, mode="replicate") if any(pad) else x


def cropped(x: Tensor, size: Sequence[int] | None) -> Tensor:
    """x (B, C, *S) cut behind to the sides `size`; None leaves it."""
    return x if size is None else x[(..., *[slice(side) for side in size])]


def fold(x: Tensor, patch: int) -> Tensor:
    """Blocks of patch^axes pixels as channels: (B, C, *S) -> (B, C patch^axes, *S / patch), padded by copies of the edge where patch does not divide S."""
    if patch == 1:
        return x
    axes, x = x.ndim - 2, padded(x, patch)
    x = x.reshape(*x.shape[:2], *[part for size in x.shape[2:] for part in (size // patch, patch)])  # (B, C, S1, p, S2, p, …)
    return x.permute(0, 1, *range(3, x.ndim, 2), *range(2, x.ndim, 2)).flatten(1, 1 + axes)


def unfold(x: Tensor, patch: int, size: tuple[int, ...]) -> Tensor:
    """The inverse of `fold`, cropped to `size`."""
    if patch == 1:
        return x
    axes = x.ndim - 2
    if axes == 2:
        x = F.pixel_shuffle(x, patch)
    else:
        x = x.unflatten(1, (-1, *[patch] * axes))  # (B, C, p, p, …, S1, S2, …)
        x = x.permute(0, 1, *[place for axis in range(axes) for place in (2 + axes + axis, 2 + axis)])
        x = x.reshape(*x.shape[:2], *[side * patch for side in x.shape[2::2]])
    return cropped(x, size)


class Fold(nn.Module):
    """`fold` as a layer of a sequence, with the words of a window of as many pixels: (B, C, *S) -> (B, C patch^axes, *S / patch)."""

    def __init__(self, patch: int):
        super().__init__()
        self.kernel_size, self.stride, self.padding = patch, patch, 0

    def forward(self, x: Tensor) -> Tensor:
        return fold(x, self.stride)


class Unfold(nn.Module):
    """The inverse of `Fold`: (B, C patch^axes, *S) -> (B, C, *S patch)."""

    def __init__(self, patch: int):
        super().__init__()
        self.scale_factor = patch

    def forward(self, x: Tensor) -> Tensor:
        return unfold(x, self.scale_factor, tuple(side * self.scale_factor for side in x.shape[2:]))


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """x (B, C, *S) at another size: means of pixels where it shrinks, copies of them where it grows."""
    if tuple(size) == tuple(x.shape[2:]):
        return x
    if all(new <= old for new, old in zip(size, x.shape[2:], strict=True)):
        return (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[x.ndim - 3](x, list(size))
    return F.interpolate(x, size=tuple(size), mode="nearest")


def beside(a: Tensor, b: Tensor) -> Tensor:
    """Two feature maps (B, C, *S) with their channels side by side."""
    return _Beside.apply(a, b) if laid_last(a) and laid_last(b) else torch.cat([a, b], 1)


def lay_weights_last(network: nn.Module, device: torch.device) -> None:
    """Lays the weights of 2-D convolutions out with channels last where that is faster (on a CPU up to five times): on a GPU, and on a CPU for wide ones."""
    weights = [p for p in network.parameters() if p.ndim == 4]
    if device.type == "cuda" or (device.type == "cpu" and min((max(p.shape[:2]) for p in weights), default=0) >= WIDE):
        for parameter in weights:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def lay_last(x: Tensor, weight: Tensor) -> Tensor:
    """A feature map with its channels last where the network's weights have them so."""
    return x.contiguous(memory_format=torch.channels_last) if laid_last(weight) and x.ndim == 4 else x


def laid_last(x: Tensor) -> bool:
    """Whether a feature map (B, C, H, W) lies in memory with its channels last."""
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


class _Beside(torch.autograd.Function):
    """Channels side by side, whose gradients lie as the maps do: slices of a map with channels last would make every step before them slow."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.sizes = [a.shape[1], b.shape[1]]
        return torch.cat([a, b], 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.contiguous(memory_format=torch.channels_last) for part in gradient.split(ctx.sizes, 1))
