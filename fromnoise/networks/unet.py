"""The UNet of diffusion models: residual blocks down and up, with skips across and attention where it is wanted."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Usage
from .attention import SelfAttention
from .axes import conv, fold, unfold
from .context import NOTHING, Context
from .embed import ClockEmbedding, zero
from .norm import GroupNorm


class ResBlock(nn.Module):
    """Two convolutions around the embedding, added to the input; (B, in, *S), emb (B, dim) -> (B, out, *S).

    The embedding scales and shifts the second norm (adaptive group norm, Dhariwal & Nichol 2021), or is added before it (Ho et al. 2020)
    where `scale_shift` is false. The second convolution is zero at first.
    """

    def __init__(self, channels_in: int, channels_out: int, dim: int, axes: int, scale_shift: bool, dropout: float):
        super().__init__()
        self.norm1 = GroupNorm(channels_in)
        self.conv1 = conv(axes, channels_in, channels_out)
        self.tell = nn.Linear(dim, channels_out * (2 if scale_shift else 1))
        self.norm2 = GroupNorm(channels_out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero(conv(axes, channels_out, channels_out))
        self.skip = conv(axes, channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()
        self.scale_shift = scale_shift

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        told = self.tell(F.silu(emb))
        h = self.conv1(F.silu(self.norm1(x)))
        if self.scale_shift:
            h = self.norm2(h, *told.chunk(2, 1))
        else:
            h = self.norm2(h + told.reshape(*told.shape, *[1] * (x.ndim - 2)))
        return self.skip(x) + self.conv2(self.dropout(F.silu(h)))


class Stage(nn.Module):
    """A residual block and, where this resolution attends, attention."""

    def __init__(self, channels_in: int, channels_out: int, attend: bool, head: int, **block: object):
        super().__init__()
        self.block = ResBlock(channels_in, channels_out, **block)  # type: ignore[arg-type]
        self.attend = SelfAttention(channels_out, head) if attend else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.attend(self.block(x, emb))


class UNet(nn.Module):
    """UNet (Ho et al. 2020; Dhariwal & Nichol 2021); x (B, channels, *S), clock (B,) -> (B, channels, *S), for any size S of 1 to 3 axes.

    width      channels of the first level; `levels` multiplies it, level i having the size S / (patch 2^i), rounded up
    blocks     residual blocks a level on the way down; one more on the way up
    attention  the levels that attend, by number; the middle does where any does
    patch      pixels folded into channels before the first layer: 2 quarters the cost, at some loss of detail
    concat     channels of the picture condition that is laid beside x
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 64,
        levels: Sequence[int] = (1, 2, 2),
        blocks: int = 2,
        attention: Sequence[int] = (),
        patch: int = 1,
        head: int = 64,
        scale_shift: bool = True,
        dropout: float = 0.0,
        time: str = "sinusoidal",
        axes: int = 2,
        concat: int = 0,
    ):
        super().__init__()
        if any(not 0 <= level < len(levels) for level in attention):
            raise Usage(f"attention names levels 0 to {len(levels) - 1} of the UNet, not {list(attention)}")
        if width < 2 or min(levels, default=0) < 1 or blocks < 1 or patch < 1:
            raise Usage(
                f"a UNet needs width >= 2, levels of at least 1, blocks >= 1 and patch >= 1, not {width}, {list(levels)}, {blocks}, {patch}"
            )
        self.dim, self.patch = 4 * width, patch
        block = {"dim": self.dim, "axes": axes, "scale_shift": scale_shift, "dropout": dropout}
        self.clock = ClockEmbedding(self.dim, width, time)
        self.enter = conv(axes, (channels + concat) * patch**axes, width)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        now, skips = width, [width]
        for i, multiple in enumerate(levels):
            wide = width * multiple
            stages = nn.ModuleList(Stage(now if j == 0 else wide, wide, i in attention, head, **block) for j in range(blocks))
            self.down.append(stages)
            now, skips = wide, skips + [wide] * blocks
            if i < len(levels) - 1:
                self.shrink.append(conv(axes, now, now, stride=2))
                skips.append(now)
        self.middle = nn.ModuleList([Stage(now, now, bool(attention), head, **block), Stage(now, now, False, head, **block)])
        for i, multiple in reversed(list(enumerate(levels))):
            wide, stages = width * multiple, nn.ModuleList()
            for _ in range(blocks + 1):
                stages.append(Stage(now + skips.pop(), wide, i in attention, head, **block))
                now = wide
            self.up.append(stages)
            if i:
                self.grow.append(conv(axes, now, now))
        self.leave = nn.Sequential(GroupNorm(now), nn.SiLU(), zero(conv(axes, now, channels * patch**axes)))

    @staticmethod
    def fitting(shape: Sequence[int]) -> dict[str, int]:
        """The settings that examples of this shape call for."""
        return {"channels": shape[0], "axes": len(shape) - 1}

    def forward(self, x: Tensor, clock: Tensor, context: Context | None = None) -> Tensor:
        context = (context or NOTHING).only("vector", "concat")
        size = tuple(x.shape[2:])
        emb = self.clock(clock)
        if context.vector is not None:
            emb = emb + context.vector
        h = x if context.concat is None else torch.cat([x, context.concat.to(x)], 1)
        h = self.enter(fold(h, self.patch))
        skips = [h]
        for i, stages in enumerate(self.down):
            for stage in stages:
                h = stage(h, emb)
                skips.append(h)
            if i < len(self.shrink):
                h = self.shrink[i](h)
                skips.append(h)
        for stage in self.middle:
            h = stage(h, emb)
        for i, stages in enumerate(self.up):
            if i:  # to the size of the level above, odd or even
                h = self.grow[i - 1](F.interpolate(h, size=skips[-1].shape[2:], mode="nearest"))
            for stage in stages:
                h = stage(torch.cat([h, skips.pop()], 1), emb)
        return unfold(self.leave(h), self.patch, size)
