"""Clips that go on: the next frames of those that are known, window after window."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..conditions.hints import holed
from ..diffusion import Denoise, forced
from ..draws import mixed
from ..errors import Usage
from ..model import Model, Sampling, in_latents
from .guide import inpaint, with_guide

NEARLY_CLEAN = 0.02  # the time on the training schedule at which a model with levels for each frame sees those that are known


def extend(
    model: Model, known: Tensor | None, frames: int, n: int = 1, overlap: int | None = None, sampling: Sampling | None = None,
    progress: Callable[[int], Any] | None = None, **conditions: Any,
) -> Tensor:  # fmt: skip
    """n clips (n, C, frames, *S) that begin with `known` (n or 1, C, k, *S), bit for bit, or with a sample of the model where that is None.

    They are drawn by a sliding window: the model's own length T at a time, of which the last `overlap` frames so far are known (by default half of T), and
    each window from noise of its own. Any axis will do in place of time, such as that of a signal (C, L). progress(frames so far) is called after each window.
    """
    if len(model.shape) < 2:
        raise Usage("this model makes points, which have no frames; leave this to clips, signals and pictures")
    length = model.shape[1]
    overlap = max(1, length // 2) if overlap is None else overlap
    if length < 2 or not 1 <= overlap < length:
        raise Usage(f"overlap is how many frames two windows share, 1 to {length - 1} of this model's {length}, not {overlap}")
    sampling = sampling or model.sampling
    if known is None:
        clip = model.sample(n, sampling, **conditions)
    else:
        _check(model, known, n)
        clip = known.to(model.device).float().expand(n, *known.shape[1:])
    window = 0
    while clip.shape[2] < frames:
        window += 1
        own = replace(sampling, seed=mixed(sampling.seed, "window", window))
        shared = min(overlap, clip.shape[2]) if window > 1 or known is None else min(clip.shape[2], length - 1)
        last = clip[:, :, -shared:]
        clip = torch.cat([clip, continued(model, last, n, own, **conditions)[:, :, shared:].to(clip)], 2)
        if progress:
            progress(min(frames, clip.shape[2]))
    return clip[:, :, :frames]


def continued(model: Model, known: Tensor, n: int = 1, sampling: Sampling | None = None, **conditions: Any) -> Tensor:
    """n clips (n, C, T, *S) of the model whose first k frames are `known` (n or 1, C, k, *S), 1 <= k < T, bit for bit.

    Known frames enter as the model was trained to have them: by an image condition of holes (`image` with the hint frames or masked), else as frames with a
    noise level of their own (`train.forcing`), else by inpainting (`inpaint`), which every model can do, and worst.
    """
    _check(model, known, n)
    sampling, k = sampling or model.sampling, known.shape[2]
    hole = torch.arange(model.shape[1]) >= k
    whole = torch.zeros(n, *model.shape)
    whole[:, :, :k] = known
    mask = hole.view(1, 1, -1, *[1] * (len(model.shape) - 2)).expand(1, 1, *model.shape[1:])
    condition = next((c for c in model.conditions.values() if getattr(c, "known_of", None)), None)
    if condition is not None:
        made = model.sample(n, sampling, **{**conditions, condition.key: holed(whole, mask)})
    elif model.forcing:
        made = model.sample(n, with_guide(sampling, _forcing(model, whole, mask, sampling)), **conditions)
    else:
        own = sampling if sampling.sampler != model.sampling.sampler else sampling.merged({"sampler": "repaint", "steps": 50})
        made = inpaint(model, whole, mask.float(), n, own, **conditions)
    return torch.where(mask.to(made.device), made, whole.to(made))


def _forcing(model: Model, known: Tensor, mask: Tensor, sampling: Sampling) -> Callable[[Denoise, slice], Denoise]:
    """The guide by which known frames have a level of their own."""
    z, holes = in_latents(model, known, mask.float())
    hole, level = holes.amax([1, *range(3, holes.ndim)]) > 0, model.noise(torch.full((), NEARLY_CLEAN, dtype=torch.float64))

    def guide(denoise: Denoise, which: slice) -> Denoise:
        eps = model.eps(len(z[which]), mixed(sampling.seed, "known"), sampling.first + which.start)
        return forced(denoise, z[which].to(model.device), eps.to(model.device), hole, level)

    return guide


def _check(model: Model, known: Tensor, n: int) -> None:
    """Raises Usage where known frames are not the beginning of n clips of the model."""
    fits = known.ndim == len(model.shape) + 1 and (known.shape[1], *known.shape[3:]) == (model.shape[0], *model.shape[2:])
    if not fits or len(known) not in (1, n) or not known.shape[2]:
        raise Usage(f"known frames for {n} clips of {model.shape} are one or {n} of (channels, frames, …) in that size, not {tuple(known.shape)}")
