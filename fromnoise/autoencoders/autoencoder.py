"""The interface of an autoencoder, and the one that does nothing."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class Autoencoder(nn.Module, ABC):
    """What lies between examples and what is diffused: encode(x (B, C, *S)) -> z (B, C', *S'), of about unit variance; decode(z) -> x."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor: ...

    @abstractmethod
    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape (C', *S') of z for examples of shape (C, *S)."""


class Identity(Autoencoder):
    """Nothing: the examples themselves are diffused."""

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, z: Tensor) -> Tensor:
        return z

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(shape)
