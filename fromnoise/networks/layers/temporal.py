"""Layers over time, which make a network of pictures one of clips."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Attention, divisor, sequence
from .axes import laid_last
from .embed import rotation, zero


class Temporal(nn.Module):
    """What the frames of a clip know of each other: at every place a convolution over three frames and, with `attend`, attention among all of them, each
    added to its input (Blattmann et al. 2023, Video LDM, sec. 3.1; factorised as in Ho et al. 2022, Video Diffusion Models).

    h (B·T, L, channels), sequences of T frames, or maps (B·T, channels, *S) with `maps` -> the same. Both end in zeros at first, so a fresh layer is the
    identity, bit for bit. Queries and keys are turned by the number of their frame (Su et al. 2021), so only how far frames are apart counts, and clips may be
    longer than those of training. Beyond the ends of a clip the convolution sees zeros.
    """

    def __init__(self, channels: int, head: int = 64, attend: bool = True, maps: bool = False):
        super().__init__()
        self.maps = maps
        self.norm = nn.LayerNorm(channels)
        self.conv_in, self.conv_out = nn.Linear(3 * channels, channels), zero(nn.Linear(channels, channels))
        self.attention = Attention(channels, divisor(channels, head)) if attend else None
        if self.attention is not None:
            self.attention_norm = nn.LayerNorm(channels)
            zero(self.attention.out)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        h = (sequence(x) if self.maps else x).unflatten(0, (-1, frames))  # (B, T, L, C)
        around = F.pad(self.norm(h), (0, 0, 0, 0, 1, 1))
        near = torch.cat([around[:, :-2], around[:, 1:-1], around[:, 2:]], -1)
        h = h + self.conv_out(F.silu(self.conv_in(near)))
        if self.attention is not None:
            places = self.attention_norm(h).transpose(1, 2)  # (B, L, T, C)
            turn = rotation((frames,), h.shape[-1] // self.attention.heads, 0, h.device)
            h = h + self.attention(places.flatten(0, 1), turn).view(places.shape).transpose(1, 2)
        h = h.flatten(0, 1)
        if not self.maps:
            return h
        y = h.transpose(1, 2).reshape(x.shape)
        return y.contiguous(memory_format=torch.channels_last) if laid_last(x) else y
