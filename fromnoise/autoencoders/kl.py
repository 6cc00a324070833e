"""The variational autoencoder of latent diffusion."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Usage, at_least
from ..networks.layers.attention import SelfAttention
from ..networks.layers.axes import conv, conv_class
from ..networks.layers.block import Block
from ..networks.layers.norm import GroupNorm
from ..networks.network import Depth
from ..networks.unet import widths_of
from .encoder_decoder import EncoderDecoder


class ResBlock(Block):
    """Two convolutions, each after a group norm and SiLU, added to the input; (B, in, *S) -> (B, out, *S)."""

    def __init__(self, channels_in: int, channels_out: int, axes: int, groups: int | None):
        super().__init__()
        self.norm1, self.conv1 = GroupNorm(channels_in, groups, 1e-6), conv(axes, channels_in, channels_out)
        self.norm2, self.conv2 = GroupNorm(channels_out, groups, 1e-6), conv(axes, channels_out, channels_out)
        self.skip = conv(axes, channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class Downsample(Block):
    """Half the size of even sides by a convolution of stride 2 that is padded behind alone."""

    def __init__(self, channels: int, axes: int):
        super().__init__()
        self.conv = conv_class(axes)(channels, channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1) * (x.ndim - 2)))


class Upsample(nn.Sequential):
    """Twice the size by repeating pixels, then a convolution."""

    def __init__(self, channels: int, axes: int):
        super().__init__(OrderedDict(repeat=nn.Upsample(scale_factor=2), conv=conv(axes, channels, channels)))


@dataclass(frozen=True)
class Layout:
    """What the two halves share: the channels of each level, residual blocks a level, which levels attend, whether the middle does, the norms' groups."""

    axes: int
    widths: Sequence[int]
    blocks: int
    attention: Sequence[int]
    middle: bool
    groups: int | None

    def __post_init__(self) -> None:
        if any(not 0 <= level < len(self.widths) for level in self.attention):
            raise Usage(f"an autoencoder's attention names levels 0 to {len(self.widths) - 1}, not {list(self.attention)}")

    def attend(self, channels: int) -> SelfAttention:
        """Attention of one head among all positions."""
        return SelfAttention(channels, channels, self.groups, 1e-6)

    def level(self, i: int, channels_in: int, blocks: int, resample: type[nn.Module] | None) -> nn.Sequential:
        """The blocks of level i, and then its change of size."""
        layers: list[nn.Module] = []
        for j in range(blocks):
            layers.append(ResBlock(self.widths[i] if j else channels_in, self.widths[i], self.axes, self.groups))
            layers += [self.attend(self.widths[i])] * (i in self.attention)
        return nn.Sequential(*layers, *([resample(self.widths[i], self.axes)] if resample else []))

    def centre(self) -> nn.Sequential:
        first, last = (ResBlock(self.widths[-1], self.widths[-1], self.axes, self.groups) for _ in range(2))
        return nn.Sequential(first, *([self.attend(self.widths[-1])] if self.middle else []), last)

    def last(self, channels_in: int, channels_out: int) -> nn.Sequential:
        return nn.Sequential(GroupNorm(channels_in, self.groups, 1e-6), nn.SiLU(), conv(self.axes, channels_in, channels_out))

    def encoder(self, channels: int, out: int, quant: int) -> nn.Sequential:
        """x (B, channels, *S) -> (B, quant or else out, *S / 2^(levels - 1)); quant: channels of a convolution of one pixel at the end, 0 for none."""
        w, top = self.widths, len(self.widths) - 1
        return nn.Sequential(OrderedDict(
            conv_in=conv(self.axes, channels, w[0]),
            down=nn.Sequential(*(self.level(i, w[max(0, i - 1)], self.blocks, Downsample if i < top else None) for i in range(top + 1))),
            middle=self.centre(), conv_out=self.last(w[-1], out), quant=conv(self.axes, out, quant, 1) if quant else nn.Identity(),
        ))  # fmt: skip

    def decoder(self, channels: int, out: int, quant: int) -> nn.Sequential:
        """z (B, quant or else out, *S') -> x (B, channels, *S' 2^(levels - 1)), a block more a level than the encoder."""
        w, top = self.widths, len(self.widths) - 1
        return nn.Sequential(OrderedDict(
            quant=conv(self.axes, quant, out, 1) if quant else nn.Identity(), conv_in=conv(self.axes, out, w[-1]), middle=self.centre(),
            up=nn.Sequential(*(self.level(i, w[min(top, i + 1)], self.blocks + 1, Upsample if i else None) for i in reversed(range(top + 1)))),
            conv_out=self.last(w[0], channels),
        ))  # fmt: skip


class KL(EncoderDecoder):
    """Variational autoencoder of residual blocks (Rombach et al. 2022, appendix E); x (B, channels, *S) <-> z (B, latent, *S / 2^(levels - 1)).

    width       channels of the first level; `levels` multiplies it: 3, 4 or 5 of them make f4, f8 or f16. The defaults are Stable Diffusion's
    blocks      residual blocks a level of the encoder; one more in the decoder
    latent      channels of z
    attention   the levels that attend, by number;  middle  whether the middle attends: each position to all
    groups      of every group norm (null: up to 32 of 4 or more channels)
    quant       a convolution of one pixel after the encoder;  post_quant  one before the decoder
    """

    def __init__(
        self, channels: int = 3, axes: int = 2, width: int = 128, levels: Sequence[float] = (1, 2, 4, 4), blocks: Depth = 2, latent: int = 4,
        attention: Sequence[int] = (), middle: bool = True, groups: int | None = None, quant: bool = True, post_quant: bool = True,
    ):  # fmt: skip
        super().__init__()
        at_least(1, "kl", blocks=blocks, latent=latent)
        layout = Layout(axes, widths_of("kl", width, levels), blocks, attention, middle, groups)
        self.latent, self.factor = latent, 2 ** (len(levels) - 1)
        self.encoder = layout.encoder(channels, 2 * latent, 2 * latent * quant)
        self.decoder = layout.decoder(channels, latent, latent * post_quant)
