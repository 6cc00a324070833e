"""A UNet of ConvNeXt blocks with linear attention at every level."""

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import at_least
from .context import Context
from .layers.attention import LinearAttention, SelfAttention
from .layers.axes import beside, conv, conv_class, lay_last, resized
from .layers.block import Block
from .layers.embed import Kind, TimeEmbedding, zero
from .layers.norm import GroupNorm
from .network import Network
from .unet import widths_of


class ConvNeXtBlock(Block):
    """A 7-wide convolution per channel, the embedding added, then a norm and two 3-wide ones through `mult` times the width (after Liu et al. 2022).

    x (B, in, *S), emb (B, dim) -> (B, out, *S). The norm is over all of an example (one group); `norm` is off in the first block, which sees pixels.
    """

    def __init__(self, channels_in: int, channels_out: int, dim: int, axes: int, norm: bool = True, mult: int = 2):
        super().__init__()
        self.emb_proj = nn.Linear(dim, channels_in)
        self.depthwise = conv_class(axes)(channels_in, channels_in, 7, padding=3, groups=channels_in)
        self.norm = GroupNorm(channels_in, 1) if norm else nn.Identity()
        self.conv1 = conv(axes, channels_in, mult * channels_out)
        self.conv2 = conv(axes, mult * channels_out, channels_out)
        self.skip = conv(axes, channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.depthwise(x) + self.emb_proj(F.gelu(emb))[..., *[None] * (x.ndim - 2)]
        return self.skip(x) + self.conv2(F.gelu(self.conv1(self.norm(h))))


class ConvNeXtUNet(Network):
    """UNet of ConvNeXt blocks, two and linear attention a level, full attention in the middle; x (B, channels, *S), t (B,) -> like x.

    width   channels of the first level; `levels` multiplies it, level i having the size S / 2^i, rounded up. Any size of 1 to 3 axes.
    concat  channels of the picture condition that is laid beside x
    """

    ways = {"add": {}, "concat": {}}

    def __init__(
        self, channels: int = 3, width: int = 64, levels: Sequence[int] = (1, 2, 4, 8), mult: int = 2, heads: int = 4, head: int = 32,
        axes: int = 2, concat: int = 0, time: Kind = "sinusoidal",
    ):  # fmt: skip
        super().__init__()
        widths = widths_of("convnext_unet", width, levels)
        at_least(1, "convnext_unet", mult=mult, heads=heads, head=head)
        at_least(0, "convnext_unet", concat=concat)
        self.dim, self.concat = 4 * width, concat
        block = partial(ConvNeXtBlock, dim=self.dim, axes=axes, mult=mult)
        self.time_embedding = TimeEmbedding(self.dim, width, time)
        self.down, self.downsample, self.up, self.upsample = (nn.ModuleList() for _ in range(4))
        now = channels + concat
        for i, wide in enumerate(widths):
            self.down.append(nn.ModuleList([block(now, wide, norm=i > 0), block(wide, wide), LinearAttention(wide, heads, head, 1)]))
            now = wide
            if i < len(widths) - 1:
                self.downsample.append(conv_class(axes)(now, now, 4, 2, 1))
        self.middle = nn.ModuleList([block(now, now), SelfAttention(now, now // heads if now >= heads else now, 1), block(now, now)])
        for wide, above in zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True):
            self.up.append(nn.ModuleList([block(2 * wide, above), block(above, above), LinearAttention(above, heads, head, 1)]))
            self.upsample.append(conv(axes, above, above))
        self.last = block(widths[0], widths[0])
        self.conv_out = zero(conv(axes, widths[0], channels, 1))

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        context = self.accepted(context)
        emb = self.embedding(t, context)
        h = lay_last(context.beside(x), self.last.conv1.weight)
        skips = []
        for i, (first, second, attend) in enumerate(self.down):
            h = attend(second(first(h, emb), emb))
            skips.append(h)
            if i < len(self.downsample):
                h = self.downsample[i](F.pad(h, [n % 2 * side for n in reversed(h.shape[2:]) for side in (0, 1)]))
        first, attend, second = self.middle
        h = second(attend(first(h, emb)), emb)
        for (first, second, attend), upsample in zip(self.up, self.upsample, strict=True):
            h = attend(second(first(beside(h, skips.pop()), emb), emb))
            h = upsample(resized(h, skips[-1].shape[2:]))
        return self.conv_out(self.last(h, emb))
