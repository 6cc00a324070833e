"""Diffusion forcing: noise levels of frames, one for each in place of one for the whole clip."""

import torch
from torch import Tensor

from ..draws import Draws
from .denoiser import Denoise
from .level import Level


def times_of_frames(t: Tensor, frames: int, share: float, draws: Draws) -> Tensor:
    """Times (B, T) of the frames of clips: in a `share` of them each frame has its own, U(0, 1), in the others all have the clip's t (B,) (Chen et al. 2024,
    algorithm 1, and the whole sequence's denoising beside it)."""
    own = draws.rand(frames).double()
    return torch.where(draws.rand()[:, None] < share, own, t[:, None])


def forced(denoise: Denoise, known: Tensor, eps: Tensor, hole: Tensor, level: Level) -> Denoise:
    """x0 of clips (B, C, T, *S) that are `known` but for the frames in which hole (B or 1, T) is true, of a denoiser that reads a level for each frame.

    It sees the known frames at their own, nearly clean `level`, with the noise eps (Chen et al. 2024, sec. 3.3: a little noise keeps errors from adding up
    where what is known has been drawn itself); known, eps broadcast to x. The eps that is answered is what then makes x at the walk's level, as in `inpainted`.
    """

    def replaced(x: Tensor, at: Level) -> tuple[Tensor, Tensor]:
        frames = hole.to(x.device).expand(len(x), x.shape[2])
        here = frames[:, None].unflatten(2, (-1, *[1] * (x.ndim - 3)))  # (B, 1, T, 1, …)
        own = Level(*(torch.where(frames, a.to(frames.device), b.to(a).to(frames.device)) for a, b in ((at.alpha, level.alpha), (at.sigma, level.sigma))))
        x0, _ = denoise(torch.where(here, x, level.mix(known, eps).to(x)), own)
        x0 = torch.where(here, x0, known.to(x))
        return x0, at.eps(x, x0)

    return replaced
