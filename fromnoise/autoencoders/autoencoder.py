"""The interface of an autoencoder, and the one that does nothing."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..draws import Draws
from ..networks.layers.axes import resized


class Coded(NamedTuple):
    """What an autoencoder makes of a batch in training: x_hat like x, z (B, C', *S'), what z costs beside the error, (B,), in nats or as its paper says,
    and where the autoencoder is `scored` its own error, (B,)."""

    x_hat: Tensor
    z: Tensor
    cost: Tensor
    error: Tensor | None = None


class Autoencoder(nn.Module, ABC):
    """What lies between examples and what is diffused: moments(x (B, C, *S)) -> mean and log-variance of z (B, C', *S'); decode(z) -> x.

    factor  places a side of x that are one of z;  latent  channels of z;  variational  whether z has a variance, which is kept near 1 at a cost
    bounded  whether what is decoded lies within [-1, 1], as probabilities do
    fixed  whether nothing of it is trained: a formula, which is a first stage by its own name;  released  whether it can decode alone
    scored  whether it has an error of its own, the cross-entropy of what x can be, in place of a distance: x is then of bytes, which come back exactly or not
    """

    factor: int = 1
    latent: int
    variational: ClassVar[bool] = False
    bounded: ClassVar[bool] = False
    fixed: ClassVar[bool] = False
    released: bool = False
    scored: ClassVar[bool] = False
    last_layer: Tensor  # the decoder's last weight, by which an adversarial loss is balanced

    @classmethod
    def fitting(cls, shape: Sequence[int]) -> dict[str, Any]:
        """The settings that examples of this shape, (C, *S), call for."""
        return {"channels": shape[0], "axes": len(shape) - 1}

    @abstractmethod
    def moments(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(mean, log-variance) of z given x, each (B, C', *S'); None where z is a function of x. Sides that `factor` does not divide are padded."""

    @abstractmethod
    def decode(self, z: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """x (B, C, *S) of z; cut to the sides `size` where that is smaller than factor times those of z."""

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape (C', *S') of z for examples of shape (C, *S)."""
        return (self.latent, *(-(-side // self.factor) for side in shape[1:]))

    def holes(self, mask: Tensor, size: Sequence[int]) -> Tensor:
        """The places *S' = `size` of z in whose part of x a mask (B, 1, *S) of 0 and 1 has a 1: (B, 1, *S') of 0 and 1."""
        return (resized(mask, size) > 0).to(mask)

    def release_encoder(self) -> None:
        """Frees the memory of what only encodes, where that is a part of its own."""

    def encode(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """z of x: its mean, or with `draws` a draw around it."""
        return drawn(*self.moments(x), draws)

    def forward(self, x: Tensor, draws: Draws | None = None) -> Coded:
        """x through z and back, in training."""
        mean, log_variance = self.moments(x)
        z = drawn(mean, log_variance, draws)
        return Coded(self.decode(z, x.shape[2:]), z, kl(mean, log_variance))


def drawn(mean: Tensor, log_variance: Tensor | None, draws: Draws | None) -> Tensor:
    """mean + exp(log_variance / 2) n, n standard normal; the mean where there is no variance, or nothing to draw with."""
    if log_variance is None or draws is None:
        return mean
    return mean + (log_variance / 2).exp() * draws.randn(*mean.shape[1:], device=mean.device).to(mean)


def kl(mean: Tensor, log_variance: Tensor | None) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of each example in nats, (B,) (Kingma & Welling 2014, appendix B); 0 where there is no variance."""
    if log_variance is None:
        return mean.new_zeros(len(mean))
    mean, log_variance = (
        part.to(torch.promote_types(part.dtype, torch.float32)) for part in (mean, log_variance)
    )  # bfloat16 loses what little differs
    return (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1) / 2


class Identity(Autoencoder):
    """Nothing: the examples themselves are diffused."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return x, None

    def decode(self, z: Tensor, size: Sequence[int] | None = None) -> Tensor:
        return z

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(shape)
