"""How well clips go on from their first frames, where the true motion is known."""

import torch
from torch import Tensor

from ..data import Dataset
from ..data.sets.moving_digits import MovingDigits
from .card import Row
from .examples import spread
from .metrics.motion import centres
from .moving import unwrapped


def gone_on(clips: Tensor, truth: Tensor, given: Tensor) -> dict[str, Tensor]:
    """How far predictions are from the truth in the last frame, in pixels, (N,) each: of the clips (N, C, T, H, W) themselves, of a thing that stays where it is in
    the last given frame, and of one that goes straight on as from the one before to that.

    truth  (N, T, 2), the true centres;  given  (N,) how many of the first frames are known, 1 to T - 1
    """
    each, last = torch.arange(len(clips)), truth.shape[1] - 1
    here, before = truth[each, given - 1], truth[each, (given - 2).clamp(min=0)]
    guesses = {
        "prediction": centres(clips)[:, -1],
        "prediction by staying": here,
        "prediction by going straight on": here + (here - before) * (last - given + 1)[:, None],
    }
    return {name: (place - truth[:, -1]).norm(dim=1) for name, place in guesses.items()}


def prefix(known: Tensor) -> Tensor:
    """How many first frames are known, (N,), where these alone are, of (N, 1, T, H, W) of ones where something is; 0 where others are known too, or all."""
    frame = known.flatten(3).amin(3)[:, 0] > 0.5
    count = frame.sum(1)
    first = frame.cumprod(1).sum(1)
    return torch.where((first == count) & (count < frame.shape[1]), count, 0)


def predicted(samples: Tensor, given: Tensor, test: Dataset) -> list[Row]:
    """The rows of clips (N, C, T, H, W), of which the first `given` (N,) frames are those of the examples of the test split that `spread` names; [] where their true
    motion is not known, or no clip was given first frames. T may be more than the examples have."""
    law, frames = unwrapped(test), samples.shape[2]
    if not isinstance(law, MovingDigits) or law.digits != 1 or len(law) != len(test) or not given.any():
        return []
    mine, which = given.nonzero().flatten(), spread(len(samples), len(test))
    truth = torch.stack([law.motions(int(i), frames)[0].path for i in which[mine]])
    found = gone_on(samples[mine], truth, given[mine])
    last = min(frames, law.frames) - 1
    floor = (centres(law.get(which[mine])["x"])[:, last] - truth[:, last]).norm(dim=1)  # of the true clips, read the same way
    return [Row(f"{name}, px", errors.mean().item(), floor.mean().item(), (errors.std() / len(errors) ** 0.5).item()) for name, errors in found.items()]
