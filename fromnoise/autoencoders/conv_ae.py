"""A small convolutional autoencoder without variance."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import at_least
from ..networks.layers.axes import Fold, Unfold, conv
from ..networks.layers.norm import GroupNorm
from .encoder_decoder import EncoderDecoder

POOLS: dict[int, type[nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


class ConvAE(EncoderDecoder):
    """Two convolutions a level with group norm and Mish, means of pixels between levels.

    x (B, channels, *S) <-> z (B, latent, *S / factor), factor = patch 2^(levels - 1)

    widths       channels of each level; (32, 64, 128) has 575,627 parameters with three channels and a factor of 4
    latent       channels of z
    groups       of every group norm, which divide the widths
    patch        side of the blocks whose pixels are the channels of the first level: large pictures and volumes cost less by its square and cube
    standardise  z of each example, over all its values, has mean 0 and variance 1: no cost and no scale are needed to diffuse it
    """

    def __init__(
        self, channels: int = 3, axes: int = 2, widths: Sequence[int] = (32, 64, 128), latent: int = 8, groups: int = 8, standardise: bool = True,
        patch: int = 1,
    ):  # fmt: skip
        super().__init__()
        at_least(1, "conv_ae", widths=min(widths, default=0), latent=latent, patch=patch)
        self.latent, self.factor, self.standardise = latent, patch * 2 ** (len(widths) - 1), standardise
        channels *= patch**axes

        def stage(channels_in: int, channels_out: int) -> list[nn.Module]:
            return [GroupNorm(channels_in, groups), conv(axes, channels_in, channels_out), nn.Mish()]

        down: list[nn.Module] = [conv(axes, channels, widths[0]), nn.Mish()]
        up: list[nn.Module] = [GroupNorm(widths[0], groups), conv(axes, widths[0], channels)]
        for small, large in zip(widths, widths[1:], strict=False):
            down += [*stage(small, large), POOLS[axes](2), *stage(large, large)]
            up = [*stage(large, large), nn.Upsample(scale_factor=2), *stage(large, small), *up]
        folded, unfolded = ([Fold(patch)], [Unfold(patch)]) if patch > 1 else ([], [])
        self.encoder = nn.Sequential(*folded, *down, GroupNorm(widths[-1], groups), conv(axes, widths[-1], latent))
        self.decoder = nn.Sequential(conv(axes, latent, widths[-1]), nn.Mish(), *up, *unfolded)

    def parted(self, h: Tensor) -> tuple[Tensor, None]:
        return (F.layer_norm(h, h.shape[1:]) if self.standardise else h), None
