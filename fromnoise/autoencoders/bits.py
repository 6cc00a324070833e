"""Bytes as bits: a first stage with nothing to train, by which text and other whole numbers are diffused as they are."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .autoencoder import Autoencoder

BITS = 8


def as_bytes(x: Tensor) -> Tensor:
    """The bytes 0 … 255 that values in [-1, 1] stand for, int64 like x."""
    return x.add(1).mul(127.5).round().clamp(0, 255).long()


def of_bytes(values: Tensor, like: Tensor) -> Tensor:
    """The values in [-1, 1] of bytes, exactly those that a dataset makes of them: in the precision of `like`, float32 at least."""
    return values.to(torch.promote_types(like.dtype, torch.float32)).div(127.5).sub(1)


class Bits(Autoencoder):
    """Analog bits (Chen, Zhang & Hinton 2022): x (B, channels, *S) of bytes in [-1, 1] <-> z (B, 8 channels, *S), each of the eight bits -1 or 1, the highest
    first. Decoding takes the sign, so bytes come back exactly."""

    fixed = True
    powers: Tensor

    def __init__(self, channels: int = 1):
        super().__init__()
        self.latent = BITS * channels
        self.register_buffer("powers", 2 ** torch.arange(BITS - 1, -1, -1), persistent=False)

    @classmethod
    def fitting(cls, shape: Sequence[int]) -> dict[str, int]:
        return {"channels": shape[0]}

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        bits = as_bytes(x)[:, :, None] // self.powers.view(-1, *[1] * (x.ndim - 2)) % 2  # (B, C, 8, *S)
        return (2 * bits - 1).flatten(1, 2).to(x), None

    def decode(self, z: Tensor, size: Sequence[int] | None = None) -> Tensor:
        bits = (z > 0).unflatten(1, (-1, BITS)).long()
        return of_bytes((bits * self.powers.view(-1, *[1] * (z.ndim - 2))).sum(2), z)
