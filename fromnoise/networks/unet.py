"""The UNet of diffusion models: residual blocks down and up, with skips across and attention where it is wanted."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Usage
from .context import NOTHING, Context
from .layers.attention import CrossTransformer, LinearAttention, SelfAttention
from .layers.axes import beside, conv, fold, lay_last, resized, unfold
from .layers.block import Block
from .layers.dropout import Dropout
from .layers.embed import ClockEmbedding, zero
from .layers.norm import GroupNorm


class ResBlock(Block):
    """Two convolutions around the embedding, added to the input; (B, in, *S), emb (B, dim) -> (B, out, *S), or (B, out, *size).

    The embedding scales and shifts the second norm (adaptive group norm, Dhariwal & Nichol 2021), or is added before it (Ho et al. 2020)
    where `scale_shift` is false. The second convolution is zero at first.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        dim: int,
        axes: int,
        scale_shift: bool,
        dropout: float,
        norm: Callable[[int], GroupNorm] = GroupNorm,
    ):
        super().__init__()
        self.norm1 = norm(channels_in)
        self.conv1 = conv(axes, channels_in, channels_out)
        self.tell = nn.Linear(dim, channels_out * (2 if scale_shift else 1))
        self.norm2 = norm(channels_out)
        self.dropout = Dropout(dropout)
        self.conv2 = zero(conv(axes, channels_out, channels_out))
        self.skip = conv(axes, channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()
        self.scale_shift = scale_shift

    def forward(self, x: Tensor, emb: Tensor, size: Sequence[int] | None = None) -> Tensor:
        told = self.tell(F.silu(emb))
        h = F.silu(self.norm1(x))
        if size is not None:
            h, x = resized(h, size), resized(x, size)
        h = self.conv1(h)
        if self.scale_shift:
            h = self.norm2(h, *told.chunk(2, 1))
        else:
            h = self.norm2(h + told.reshape(*told.shape, *[1] * (x.ndim - 2)))
        return self.skip(x) + self.conv2(self.dropout(F.silu(h)))


class Stage(Block):
    """A residual block, which takes a skip in beside x, and, where this resolution attends, attention."""

    def __init__(self, block: ResBlock, attend: nn.Module | None):
        super().__init__()
        self.block, self.attend = block, attend

    def forward(self, x: Tensor, skip: Tensor | None, emb: Tensor, tokens: Tensor | None, mask: Tensor | None) -> Tensor:
        h = self.block(x if skip is None else beside(x, skip), emb)
        return h if self.attend is None else self.attend(h, tokens, mask)


class ConvShrink(Block):
    """Half the size (rounded up) by a convolution of stride 2; `late` pads behind only, as the first DDPM did."""

    def __init__(self, channels: int, axes: int, late: bool):
        super().__init__()
        self.conv = conv(axes, channels, channels, stride=2)
        self.late = late

    def forward(self, x: Tensor, emb: Tensor, size: Sequence[int]) -> Tensor:
        if not self.late:
            return self.conv(x)
        # one pixel of zeros behind, and one more where the size is odd, which a last window of its own would need
        x = F.pad(x, [amount for n in reversed(x.shape[2:]) for amount in (0, 1 + n % 2)])
        return (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3](x, self.conv.weight, self.conv.bias, stride=2)


class ConvGrow(Block):
    """To `size` by repeating pixels, then a convolution."""

    def __init__(self, channels: int, axes: int):
        super().__init__()
        self.conv = conv(axes, channels, channels)

    def forward(self, x: Tensor, emb: Tensor, size: Sequence[int]) -> Tensor:
        return self.conv(resized(x, size))


class Leave(Block, nn.Sequential):
    """Norm, SiLU and the last convolution, which is zero at first."""


class UNet(nn.Module):
    """UNet (Ho et al. 2020; Dhariwal & Nichol 2021); x (B, channels, *S), clock (B,) -> (B, channels, *S), for any size S of 1 to 3 axes.

    width      channels of the first level; `levels` multiplies it, level i having the size S / (patch 2^i), rounded up
    blocks     residual blocks a level on the way down; one more on the way up
    attention  the levels that attend, by number;  linear  those that do so in linear time
    middle     whether the middle attends (null: where any level does, or tokens are told)
    patch      pixels folded into channels before the first layer: 2 quarters the cost, at some loss of detail
    head       channels of a head of attention, about;  heads  how many, instead
    tokens     the width of the tokens, such as words, that it is told; 0 is none
    place      where attention meets them: cross (in a layer of their own, after attention) or token (beside the positions, in the same one)
    positions  whether what attends is told where it is; words such as "left" want that: without it they are learned late or never
    concat     channels of the picture condition that is laid beside x
    resample   how levels change size: by one convolution, or by a residual block (ADM)
    groups, eps, pad_late, shift   group norm's groups and epsilon, padding of the strided convolution, and the clock's frequencies, as published models vary
    """

    WAYS = {
        "adaln": {"scale_shift": True},
        "add": {"scale_shift": False},
        "cross": {"place": "cross"},
        "token": {"place": "token"},
        "concat": {},
        "control": {},
    }

    def __init__(
        self,
        channels: int = 3,
        width: int = 64,
        levels: Sequence[float] = (1, 2, 2),
        blocks: int = 2,
        attention: Sequence[int] = (),
        patch: int = 1,
        head: int = 64,
        heads: int | None = None,
        scale_shift: bool = True,
        dropout: float = 0.0,
        time: str = "sinusoidal",
        axes: int = 2,
        concat: int = 0,
        tokens: int = 0,
        place: Literal["cross", "token"] = "cross",
        positions: bool = False,
        linear: Sequence[int] = (),
        middle: bool | None = None,
        resample: Literal["conv", "residual"] = "conv",
        groups: int | None = None,
        eps: float = 1e-5,
        pad_late: bool = False,
        shift: int = 0,
    ):
        super().__init__()
        if any(not 0 <= level < len(levels) for level in [*attention, *linear]):
            raise Usage(f"attention and linear name levels 0 to {len(levels) - 1} of the UNet, not {[*attention, *linear]}")
        widths = [round(width * multiple) for multiple in levels]
        if width < 2 or min(widths, default=0) < 1 or blocks < 1 or patch < 1:
            raise Usage(
                f"a UNet needs width >= 2, levels of at least 1 channel, blocks >= 1 and patch >= 1, not {width}, {list(levels)}, {blocks}, {patch}"
            )
        self.dim, self.patch, self.told, self.axes = 4 * width, patch, tokens, axes

        def norm(channels: int) -> GroupNorm:
            return GroupNorm(channels, groups, eps)

        def block(channels_in: int, channels_out: int) -> ResBlock:
            return ResBlock(channels_in, channels_out, self.dim, axes, scale_shift, dropout, norm)

        def attend(channels: int, level: int | None = None, wanted: bool = False) -> nn.Module | None:
            if level in linear:
                return LinearAttention(channels, groups=groups, eps=eps)
            if not (wanted or level in attention):
                return None
            if tokens and place == "cross":
                return CrossTransformer(channels, tokens, head, heads, groups, positions)
            return SelfAttention(channels, channels // heads if heads else head, groups, eps, tokens, positions)

        def shrink(channels: int) -> nn.Module:
            return ConvShrink(channels, axes, pad_late) if resample == "conv" else block(channels, channels)

        def grow(channels: int) -> nn.Module:
            return ConvGrow(channels, axes) if resample == "conv" else block(channels, channels)

        now = widths[0]
        self.clock = ClockEmbedding(self.dim, width, time, shift)
        self.enter = conv(axes, (channels + concat) * patch**axes, now)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        skips = [now]
        for i, wide in enumerate(widths):
            self.down.append(nn.ModuleList(Stage(block(now if j == 0 else wide, wide), attend(wide, i)) for j in range(blocks)))
            now, skips = wide, skips + [wide] * blocks
            if i < len(widths) - 1:
                self.shrink.append(shrink(now))
                skips.append(now)
        self.features = [*skips, now]  # the channels of each
        middle = bool(attention) or bool(linear) or tokens > 0 if middle is None else middle
        self.middle = nn.ModuleList([Stage(block(now, now), attend(now, None, middle)), Stage(block(now, now), None)])
        for i, wide in reversed(list(enumerate(widths))):
            stages = nn.ModuleList()
            for _ in range(blocks + 1):
                stages.append(Stage(block(now + skips.pop(), wide), attend(wide, i)))
                now = wide
            self.up.append(stages)
            if i:
                self.grow.append(grow(now))
        self.leave = Leave(norm(now), nn.SiLU(), zero(conv(axes, now, channels * patch**axes)))

    @staticmethod
    def fitting(shape: Sequence[int]) -> dict[str, int]:
        """The settings that examples of this shape call for."""
        return {"channels": shape[0], "axes": len(shape) - 1}

    def half(self) -> "UNet":
        """A copy of the half that encodes."""
        copy = deepcopy(self)
        del copy.up, copy.grow, copy.leave
        return copy

    def joints(self) -> list[nn.Module]:
        """A layer for each feature through which a control branch adds to it, zero at first."""
        return [zero(conv(self.axes, channels, channels, 1)) for channels in self.features]

    def encode(self, x: Tensor, clock: Tensor, context: Context, hint: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """(what is handed to the decoding half: every skip and the middle, with the context's residuals; the embedding).

        hint  like x once it has entered, and added to that
        """
        emb = self.clock(clock)
        if context.vector is not None:
            emb = emb + context.vector
        told: tuple[Any, Any] = (context.tokens, context.mask)
        h = lay_last(self.enter(fold(context.beside(x), self.patch)), self.middle[0].block.conv2.weight)
        if hint is not None:
            h = h + hint
        skips = [h]
        for i, stages in enumerate(self.down):
            for stage in stages:
                h = stage(h, None, emb, *told)
                skips.append(h)
            if i < len(self.shrink):
                h = self.shrink[i](h, emb, [(n + 1) // 2 for n in h.shape[2:]])
                skips.append(h)
        for stage in self.middle:
            h = stage(h, None, emb, *told)
        return context.added([*skips, h]), emb

    def forward(self, x: Tensor, clock: Tensor, context: Context | None = None) -> Tensor:
        context = (context or NOTHING).only("vector", "concat", "residuals", *(("tokens", "mask") if self.told else ()))
        size = tuple(x.shape[2:])
        (*skips, h), emb = self.encode(x, clock, context)
        told: tuple[Any, Any] = (context.tokens, context.mask)
        for i, stages in enumerate(self.up):
            if i:  # to the size of the level above, odd or even
                h = self.grow[i - 1](h, emb, skips[-1].shape[2:])
            for stage in stages:
                h = stage(h, skips.pop(), emb, *told)
        return unfold(self.leave(h), self.patch, size)
