"""The UNets of diffusion models: blocks down and up, with skips across and attention where it is wanted."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Usage, at_least
from .context import Context
from .layers.attention import CrossTransformer, LinearAttention, SelfAttention
from .layers.axes import beside, conv, conv_class, fold, lay_last, resized, unfold
from .layers.block import Block
from .layers.dropout import Dropout
from .layers.embed import Kind, TimeEmbedding, zero
from .layers.norm import GroupNorm
from .layers.temporal import Temporal
from .network import OURS, Compat, Depth, Network


class ResBlock(Block):
    """Two convolutions around the embedding, added to the input; (B, in, *S), emb (B, dim) -> (B, out, *S), or (B, out, *size).

    The embedding scales and shifts the second norm (adaptive group norm, Dhariwal & Nichol 2021), or is added before it (Ho et al. 2020)
    where `scale_shift` is false. The second convolution is zero at first.
    """

    def __init__(
        self, channels_in: int, channels_out: int, dim: int, axes: int, scale_shift: bool, dropout: float, norm: Callable[[int], GroupNorm]
    ):
        super().__init__()
        self.norm1 = norm(channels_in)
        self.conv1 = conv(axes, channels_in, channels_out)
        self.emb_proj = nn.Linear(dim, channels_out * (2 if scale_shift else 1))
        self.norm2 = norm(channels_out)
        self.dropout = Dropout(dropout)
        self.conv2 = zero(conv(axes, channels_out, channels_out))
        self.skip = conv(axes, channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()
        self.scale_shift = scale_shift

    def forward(self, x: Tensor, emb: Tensor, size: Sequence[int] | None = None) -> Tensor:
        emb = self.emb_proj(F.silu(emb))
        h = F.silu(self.norm1(x))
        if size is not None:
            h, x = resized(h, size), resized(x, size)
        h = self.conv1(h)
        h = self.norm2(h, *emb.chunk(2, 1)) if self.scale_shift else self.norm2(h + emb.reshape(*emb.shape, *[1] * (x.ndim - 2)))
        return self.skip(x) + self.conv2(self.dropout(F.silu(h)))


class Stage(Block):
    """A residual block, with a skip beside x where there is one; where this resolution attends, attention; and for clips, a temporal layer."""

    def __init__(self, block: ResBlock, attend: nn.Module | None, temporal: Temporal | None):
        super().__init__()
        self.block, self.attend, self.temporal = block, attend, temporal

    def forward(self, x: Tensor, skip: Tensor | None, emb: Tensor, context: Context) -> Tensor:
        h = self.block(x if skip is None else beside(x, skip), emb)
        h = h if self.attend is None else self.attend(h, context.tokens, context.mask)
        return self.temporal(h, context.frames) if self.temporal is not None and context.frames else h


class Downsample(Block):
    """Half the size (rounded up) by a convolution of stride 2; `pad_late` pads behind alone, as the first DDPM did."""

    def __init__(self, channels: int, axes: int, pad_late: bool):
        super().__init__()
        self.conv = conv_class(axes)(channels, channels, 3, 2, 0 if pad_late else 1)
        self.pad_late = pad_late

    def forward(self, x: Tensor, emb: Tensor, size: Sequence[int]) -> Tensor:
        # Behind, `pad_late` has one pixel of zeros, and one more where the size is odd, which a last window of its own would need. A side of one
        # pixel gets one that changes nothing: of those, CPUs with avx512_bf16 (torch 2.13) give uninitialised memory as the weights' gradient.
        behind = [1 + n % 2 if self.pad_late else int(n == 1) for n in reversed(x.shape[2:])]
        return self.conv(F.pad(x, [amount for side in behind for amount in (0, side)]) if any(behind) else x)


class Upsample(Block):
    """To `size` by repeating pixels, then a convolution."""

    def __init__(self, channels: int, axes: int):
        super().__init__()
        self.conv = conv(axes, channels, channels)

    def forward(self, x: Tensor, emb: Tensor, size: Sequence[int]) -> Tensor:
        return self.conv(resized(x, size))


class ConvOut(Block, nn.Sequential):
    """Norm, SiLU and the last convolution, which is zero at first."""


WIDEST = 65_536  # channels: a convolution between two such levels has 39 billion weights


def widths_of(what: str, width: int, levels: Sequence[float]) -> list[int]:
    """The channels of every level of a UNet; raises Usage where there is no such UNet."""
    at_least(2, what, width=width)
    widths = [round(width * multiple) for multiple in levels]
    if not 1 <= min(widths, default=0) <= max(widths) <= WIDEST:
        raise Usage(f"{what}: levels are multiples of the width that leave every level 1 to {WIDEST:,} channels, not {list(levels)} of {width:,}")
    return widths


class UNet(Network):
    """UNet (Ho et al. 2020; Dhariwal & Nichol 2021); x (B, channels, *S), t (B,) -> (B, channels, *S), for any size S of 1 to 3 axes.

    width      channels of the first level; `levels` multiplies it, level i having the size S / (patch 2^i), rounded up
    blocks     residual blocks a level on the way down; one more on the way up
    attention  the levels that attend, by number;  linear  those that do so in linear time
    middle     whether the middle attends (null: where any level does, or there are tokens)
    patch      pixels folded into channels before the first layer: 2 quarters the cost, at some loss of detail
    head       channels of a head of attention, about;  heads  how many, instead
    context_dim  the width of the context's tokens, such as words; 0 is none
    place      where attention meets them: cross (in a layer of their own, after attention) or token (beside the positions, in the same one)
    positions  whether attention gets an embedding of the position; words such as "left" want that: without it they are learned late or never
    concat     channels of the picture condition that is laid beside x
    temporal   whether clips go through it frame by frame, with layers over time after each block; else time is an axis like the others
    temporal_attention  with it, the levels whose frames attend to each other, as the middle's do (null: all but the first); the others have convolutions alone
    resample   how levels change size: by one convolution, or by a residual block (ADM)
    compat     what weights of published models call for
    """

    ways = {
        "adaln": {"scale_shift": True}, "add": {"scale_shift": False}, "cross": {"place": "cross"}, "token": {"place": "token"},
        "concat": {}, "control": {},
    }  # fmt: skip
    decoder = ("up", "upsample", "conv_out")

    def __init__(
        self, channels: int = 3, width: int = 64, levels: Sequence[float] = (1, 2, 2), blocks: Depth = 2, attention: Sequence[int] = (),
        patch: int = 1, head: int = 64, heads: int | None = None, scale_shift: bool = True, dropout: float = 0.0, time: Kind = "sinusoidal",
        axes: int = 2, concat: int = 0, context_dim: int = 0, place: Literal["cross", "token"] = "cross", positions: bool = False,
        linear: Sequence[int] = (), middle: bool | None = None, resample: Literal["conv", "residual"] = "conv", compat: Compat = OURS,
        temporal: bool = False, temporal_attention: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__()
        widths = widths_of("unet", width, levels)
        at_least(1, "unet", blocks=blocks, patch=patch, head=head, heads=heads or 1)
        at_least(0, "unet", concat=concat, context_dim=context_dim)
        named = [*attention, *linear, *(temporal_attention or ())]
        if any(not 0 <= level < len(levels) for level in named):
            raise Usage(f"unet: attention, linear and temporal_attention name levels 0 to {len(levels) - 1}, not {named}")
        if temporal_attention is not None and not temporal:
            raise Usage("unet: temporal_attention is of temporal layers, and there are none; set temporal: true")
        self.dim, self.width, self.patch, self.axes, self.context_dim, self.concat = 4 * width, widths[0], patch, axes, context_dim, concat
        self.temporal, in_time = temporal, range(1, len(levels)) if temporal_attention is None else temporal_attention
        groups, eps = compat.groups, 1e-5 if compat.eps is None else compat.eps
        norm = partial(GroupNorm, groups=groups, eps=eps)
        block = partial(ResBlock, dim=self.dim, axes=axes, scale_shift=scale_shift, dropout=dropout, norm=norm)

        def attend(channels: int, level: int | None, full: bool = False) -> nn.Module | None:
            if level in linear:
                return LinearAttention(channels, groups=groups, eps=eps)
            if not (full or level in attention):
                return None
            if context_dim and place == "cross":
                return CrossTransformer(channels, context_dim, head, heads, groups, positions)
            return SelfAttention(channels, channels // heads if heads else head, groups, eps, context_dim, positions)

        def stage(channels_in: int, channels_out: int, level: int | None, full: bool = False) -> Stage:
            over_time = Temporal(channels_out, head, level is None or level in in_time, maps=True) if temporal else None
            return Stage(block(channels_in, channels_out), attend(channels_out, level, full), over_time)

        self.time_embedding = TimeEmbedding(self.dim, width, time, compat.shift)
        self.conv_in = conv(axes, (channels + concat) * patch**axes, self.width)
        self.down, self.up, self.downsample, self.upsample = (nn.ModuleList() for _ in range(4))
        now, skips = widths[0], [widths[0]]  # channels
        for level, wide in enumerate(widths):
            self.down.append(nn.ModuleList(stage(wide if j else now, wide, level) for j in range(blocks)))
            skips += [wide] * blocks
            if level < len(widths) - 1:
                self.downsample.append(block(wide, wide) if resample == "residual" else Downsample(wide, axes, compat.pad_late))
                skips.append(wide)
            now = wide
        self.features = [*skips, now]  # channels of each: of every skip, and of the middle
        middle = bool(attention or linear) or context_dim > 0 if middle is None else middle
        if context_dim and not (middle or set(attention) - set(linear)):
            raise Usage("unet: tokens enter by attention in quadratic time, and nothing attends so; name levels in attention, or leave middle out")
        self.middle = nn.ModuleList([stage(now, now, None, middle), stage(now, now, None)])
        for level, wide in reversed(list(enumerate(widths))):
            self.up.append(nn.ModuleList(stage((wide if j else now) + skips.pop(), wide, level) for j in range(blocks + 1)))
            if level:
                self.upsample.append(block(wide, wide) if resample == "residual" else Upsample(wide, axes))
            now = wide
        self.conv_out = ConvOut(GroupNorm(widths[0], groups, eps), nn.SiLU(), zero(conv(axes, widths[0], channels * patch**axes)))

    def zero_convs(self) -> list[nn.Module]:
        return [zero(conv(self.axes, channels, channels, 1)) for channels in self.features]

    def encode(self, x: Tensor, t: Tensor, context: Context, hint: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """The features are every skip and the middle."""
        emb = self.embedding(t, context)
        h = lay_last(self.conv_in(fold(context.beside(x), self.patch)), self.middle[0].block.conv2.weight)
        if hint is not None:
            h = h + hint
        skips = [h]
        for i, stages in enumerate(self.down):
            for stage in stages:
                h = stage(h, None, emb, context)
                skips.append(h)
            if i < len(self.downsample):
                h = self.downsample[i](h, emb, [(n + 1) // 2 for n in h.shape[2:]])
                skips.append(h)
        for stage in self.middle:
            h = stage(h, None, emb, context)
        return context.add_residuals([*skips, h]), emb

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        clips = x
        x, t, context = self.framed(x, t, self.accepted(context))
        skips, emb = self.encode(x, t, context)
        h = skips.pop()  # not (*skips, h), which torch.compile of 2.11 takes for a tuple
        for i, stages in enumerate(self.up):
            if i:  # to the size of the level above, odd or even
                h = self.upsample[i - 1](h, emb, skips[-1].shape[2:])
            for stage in stages:
                h = stage(h, skips.pop(), emb, context)
        return self.clips(unfold(self.conv_out(h), self.patch, tuple(x.shape[2:])), clips)
