"""A small, fast autoencoder of convolutions alone."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import at_least
from ..networks.layers.axes import conv, conv_class, cropped
from ..networks.layers.block import Block
from .encoder_decoder import EncoderDecoder


class TinyBlock(Block):
    """Three convolutions with ReLU between, added to the input, and ReLU; (B, width, *S) -> the same."""

    def __init__(self, width: int, axes: int):
        super().__init__()
        first, second, third = (conv(axes, width, width) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.conv(x)).relu()


class Tiny(EncoderDecoder):
    """Convolutions and ReLU without norm, TAESD's layout (Bohan 2023); x (B, channels, *S) <-> z (B, latent, *S / 2^(levels - 1)).

    width   channels of every layer
    blocks  residual blocks of each level of the encoder, the decoder's in reverse; the defaults have 1.2 million parameters a side, and a factor of 8
    latent  channels of z, which the decoder bounds to 3 tanh(z / 3): few lie beyond
    What a place of z holds depends on a neighbourhood of x alone, so that tiles are exact.
    """

    def __init__(self, channels: int = 3, axes: int = 2, width: int = 64, blocks: Sequence[int] = (1, 3, 3, 3), latent: int = 4):
        super().__init__()
        at_least(1, "tiny", width=width, latent=latent, levels=len(blocks))
        at_least(0, "tiny", blocks=min(blocks))
        self.latent, self.factor, self.blocks = latent, 2 ** (len(blocks) - 1), tuple(blocks)
        down: list[nn.Module] = [conv(axes, channels, width)]
        up: list[nn.Module] = [conv(axes, latent, width), nn.ReLU()]
        for i, (before, behind) in enumerate(zip(blocks, reversed(blocks), strict=True)):
            down += [conv_class(axes)(width, width, 3, 2, 1, bias=False)] * (i > 0) + [TinyBlock(width, axes) for _ in range(before)]
            up += [TinyBlock(width, axes) for _ in range(behind)]
            up += [nn.Upsample(scale_factor=2), conv_class(axes)(width, width, 3, padding=1, bias=False)] * (i < len(blocks) - 1)
        self.encoder, self.decoder = nn.Sequential(*down, conv(axes, width, latent)), nn.Sequential(*up, conv(axes, width, channels))

    def features(self, x: Tensor) -> Tensor:
        return self.encoder((x + 1) / 2)

    def parted(self, h: Tensor) -> tuple[Tensor, Tensor | None]:
        return h, None

    def decode(self, z: Tensor, size: Sequence[int] | None = None) -> Tensor:
        return 2 * cropped(self.decoder(3 * torch.tanh(z / 3)), size) - 1
