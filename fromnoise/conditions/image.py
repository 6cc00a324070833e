"""Pictures that a sample is made from."""

import torch
from torch import Tensor, nn

from ..networks.context import Context
from .condition import Example
from .picture import Picture

HOLE = (-0.76, -0.23, 0.32)  # a blue, where a picture shows that something is to be filled in


class Image(Picture):
    """A picture laid beside x (Palette, Saharia et al. 2022; SR3); value (B, C', *S) in [-1, 1] -> Context(concat). The null condition is all zeros.

    hint  a name of `HINTS`, with its `options`: the picture is made of x itself, so that any data will do (grey: colourisation,
          low_resolution: super-resolution, masked: inpainting). Without one it is the data's second picture (translation)
    """

    key = name = "image"
    option = "an image comes from a file: --image "
    ways = ("concat",)
    zeros: Tensor

    def init_layers(self, network: nn.Module, example: Example) -> None:
        super().init_layers(network, example)
        self.register_buffer("zeros", torch.zeros(self.shape), persistent=False)

    def picture(self, value: Tensor) -> Tensor:
        """The values themselves, holes in a colour of their own."""
        if self.known_of is None:
            return value
        pixels, counts = self.known_of(value)
        if pixels.shape[1] not in (1, 3):
            return pixels
        colour = pixels.new_tensor(HOLE).reshape(1, 3, *[1] * (pixels.ndim - 2))
        return torch.where(counts > 0, pixels, colour)

    def known(self, value: Tensor) -> tuple[Tensor, Tensor] | None:
        return self.known_of(value) if self.known_of else None

    def forward(self, value: Tensor) -> Context:
        return Context(concat=value.to(self.zeros))

    def nothing(self, n: int) -> Tensor:
        return self.zeros.expand(n, *self.shape)
