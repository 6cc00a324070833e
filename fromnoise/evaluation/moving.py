"""What a judge reads of clips of `moving_digits`: which digit is seen in each frame, along which path it goes, and how many there are."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import Dataset
from ..data.dataset import Wrapped
from ..data.sets.moving_digits import OWN, MovingDigits
from .card import Row
from .features import FeatureNet, as_saved
from .metrics.motion import Law, centres, nearest_path, rooms, things

READABLE = 0.5  # the network's highest probability from which a frame is readable
COUNTED = 500  # clips whose things are counted
EDGES = 2  # pixels by which a digit is seen larger, as it lies between pixels


@dataclass(frozen=True)
class Reading:
    """What is read of N clips.

    digit   (N,), the one with the highest probability over all readable frames, -1 where none is;  one  (N,) bool, whether all readable frames show it, and half
            are readable
    error   (N, T), how far the centre of brightness is from the nearest path of the law, pixels;  speed  (N,), how far it goes from frame to frame
    count   (M, T), how many things are in each frame of the first M
    """

    digit: Tensor
    one: Tensor
    error: Tensor
    speed: Tensor
    count: Tensor

    @property
    def path(self) -> Tensor:
        """The path error of each clip, (N,): the root of the mean square over its frames, pixels."""
        return self.error.square().mean(1).sqrt()


@torch.inference_mode()
def read(x: Tensor, net: FeatureNet, digit: int = OWN, speed: Sequence[float] = (0.0, math.inf)) -> Reading:
    """What is read of clips (N, 1, T, H, W) in [-1, 1] by a network that knows the ten digits, and by their brightness.

    Of the law: the longer side of a `digit` in pixels, and the least and greatest `speed`, pixels a frame.
    """
    device = next(net.parameters()).device
    parts = [net(as_saved(part.to(device).transpose(1, 2).flatten(0, 1)))[1] for part in x.split(32)]
    share = torch.cat([part for part in parts if part is not None]).softmax(1).cpu().unflatten(0, (len(x), -1))  # (N, T, 10)
    readable = share.amax(2) >= READABLE
    seen = torch.where(readable.any(1), (share * readable[..., None]).sum(1).argmax(1), -1)
    same = (share.argmax(2) == seen[:, None]) | ~readable
    at = centres(x)
    path = nearest_path(at, Law(*speed, *rooms(x, digit + EDGES)))
    one = same.all(1) & (readable.double().mean(1) >= 0.5)
    return Reading(seen, one, path.errors(at), at.diff(dim=1).norm(dim=2).mean(1), things(x[:COUNTED]))


def unwrapped(data: Dataset) -> Dataset:
    """The set that others are made of."""
    while isinstance(data, Wrapped):
        data = data.base
    return data


WORDS = (
    "One digit throughout: the CNN sees the same in every frame that it can read (probability {readable:g} or more), and can read half of them or more. Digit as "
    "asked: the one it sees over all frames is the label. Path error: distance of the centre of brightness from the nearest path of the law, which has a constant "
    "speed of {least:g} to {most:g} pixels a frame and turns where the box around the digit meets the border; root of the mean square, pixels. Speed: how far "
    "the centre goes from frame to frame. Count: frames with as many things as there are digits."
)


def digits_judged(law: MovingDigits, net: FeatureNet) -> Callable[[Tensor, Tensor | None], tuple[list[tuple], str]]:
    """(clips, labels or None) -> the figures of these, (metric, value, error, better), and what they mean.

    Of clips of two digits, how many there are alone: which is where cannot be told of brightness.
    """

    def judge(x: Tensor, labels: Tensor | None) -> tuple[list[tuple], str]:
        found = read(x, net, law.digit, law.speed)
        counts = [("count of digits right", (found.count == law.digits).double().mean().item(), None, "higher")]
        if law.digits > 1:
            return counts, ""
        share = found.one.double().mean().item()
        rows: list[tuple] = [("one digit throughout", share, (share * (1 - share) / len(x)) ** 0.5, "higher")]
        if labels is not None:
            rows.append(("digit as asked", (found.digit == labels.cpu()).double().mean().item(), None, "higher"))
        rows.append(("path error, px", found.path.mean().item(), (found.path.std() / len(x) ** 0.5).item(), "lower"))
        rows.append(("path error in the last frame, px", found.error[:, -1].square().mean().sqrt().item(), None, "lower"))
        rows.append(("speed, px a frame", found.speed.mean().item(), None, "near"))
        return [*rows, *counts], WORDS.format(readable=READABLE, least=law.speed[0], most=law.speed[1])

    return judge


JUDGES = {MovingDigits: digits_judged}  # of clips that are drawn by a known law, by their set


def rows_of(found: Sequence[tuple], real: Sequence[tuple]) -> list[Row]:
    """The rows of a card, real clips' own figures beside the samples'."""
    return [Row(name, value, floor, error, floor_error, better) for (name, value, error, better), (_, floor, floor_error, _) in zip(found, real, strict=True)]
