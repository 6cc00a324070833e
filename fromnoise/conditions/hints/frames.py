"""Clips of which some frames are known, for prediction and for what lies between."""

import torch
from torch import Tensor

from ...draws import Draws
from ...errors import Usage
from .masks import Masked, holed


class Frames(Masked):
    """The clip with some of its frames known, for prediction and interpolation in time; (B, C, T, *S) in [-1, 1] -> (B, C + 1, T, *S), see `holed`.

    first  how many of the first frames are known; 0 leaves it to chance: 1 to half of them, and in half of the clips single frames anywhere instead
    """

    def __call__(self, x: Tensor, draws: Draws | None = None, first: int = 0) -> Tensor:
        frames = x.shape[2]
        if not 0 <= first < frames:
            raise Usage(f"frames: first is 0 to {frames - 1} of {frames} frames, not {first}")
        hole = torch.arange(frames) >= first if first else unknown(len(x), frames, draws).to(x.device, non_blocking=True)
        return holed(x, hole.view(-1, 1, frames, *[1] * (x.ndim - 3)).to(x.device))


def unknown(n: int, frames: int, draws: Draws | None = None) -> Tensor:
    """Which frames are unknown, (n, T) bool, at least one of each clip: all after the first 1 to T / 2, or all but as many anywhere."""
    chance = (draws or Draws.fixed(n)).rand(frames + 2, device="cpu")
    count = 1 + (chance[:, :1] * max(1, frames // 2)).long()
    order = torch.arange(frames).expand(n, -1)
    anywhere = chance[:, 2:].argsort(1).argsort(1)  # a random order's places
    return torch.where(chance[:, 1:2] < 0.5, order, anywhere) >= count.clamp(max=frames - 1)


frames = Frames()
