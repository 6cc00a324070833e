"""Clips of MNIST digits that move by a known law, drawn as they are needed: straight on at a constant speed, and elastically off the walls."""

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Annotated, Any, Literal, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...config import SEED
from ...draws import mixed
from ...errors import Usage, Within
from ..dataset import Dataset, check_split
from .idx import MNIST, find, mnist
from .sized import Count, Side
from .toys import mnist_5k

RATE = 8.0  # frames a second
OWN = 20  # pixels of the longer side of MNIST's digits
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SECTORS = ("right", "right and down", "down", "left and down", "left", "left and up", "up", "right and up")  # of 45 degrees; y points down
Speed = Annotated[float, Within(0, 1000)]


@dataclass(frozen=True)
class Motion:
    """The true motion of one digit of a clip, in pixels (x, y) where (0, 0) is the middle of the pixel at the upper left.

    path  (T, 2), its centre of brightness in each frame;  velocity  (2,), pixels a frame at first;  low, high  (2,), where the centre turns back
    """

    label: int
    path: Tensor
    velocity: Tensor
    low: Tensor
    high: Tensor

    def __str__(self) -> str:
        x, y = self.velocity.tolist()
        way = f"moves {SECTORS[round(math.atan2(y, x) / (math.pi / 4)) % 8]}" if x or y else "stands still"
        return f"a{'n' * (self.label == 8)} {NAMES[self.label]} {way}"


def bounced(straight: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Where a point is, whose way would be `straight` were there no walls, between walls at low and high: s mirrored at each that it meets."""
    room = (high - low).clamp(min=0)
    period = torch.where(room > 0, 2 * room, 1)
    return low + room - (room - torch.remainder(straight - low, period)).abs() * (room > 0)


@final
class MovingDigits(Dataset):
    """Clips of one MNIST digit, or two, that move straight on and bounce off the walls, with label and perhaps a caption such as "a three moves right and down".

    A digit has a constant speed and a direction of its own, lies between pixels by bilinear interpolation, which changes neither its brightness nor its centre of
    brightness, and turns back elastically where the box around it touches a wall. Clip i is a function of (seed, i) alone, and none is stored. The digits of the
    test split are those of MNIST's.

    frames: how many a clip has. size: their side. digits: how many there are; the second passes over the first, the brighter pixel of the two being seen; the
    label is the first one's; two are seldom apart in 32 pixels, take a size of 64 for them. digit: the longer side of a digit in pixels, 20 as MNIST has it.
    speed: pixels a frame, or [least, most]. captions: whether clips have them. base: mnist, or mnist_5k, 5,000 digits that need no network; mnist where it is found
    unless said.
    """

    in_memory = True
    medium, rate = "videos", RATE

    def __init__(
        self, frames: Annotated[int, Within(1, 10_000)] = 16, size: Side = 32, digits: Annotated[int, Within(1, 2)] = 1,
        digit: Annotated[int, Within(4, 1024)] = OWN, speed: Speed | Sequence[Speed] = (0.5, 2.0), captions: bool = False, count: Count = 10_000,
        base: Literal["mnist", "mnist_5k"] | None = None, seed: SEED = 0, split: str = "train",
    ):  # fmt: skip
        check_split(split)
        both = [speed] * 2 if isinstance(speed, (int, float)) else list(speed)
        if len(both) != 2 or both[0] > both[1]:
            raise Usage(f"speed is pixels a frame, or [least, most], not {speed!r}")
        if digit + 2 > size:
            raise Usage(f"digits of {digit} pixels have no room to move in {size}; lower data.digit, or raise data.size")
        found = base or ("mnist" if find(MNIST, None, split) else "mnist_5k")
        if base is None and found == "mnist_5k":
            self.left_out = ("mnist is not found here: the digits are the 5,000 of mnist_5k; data.base=mnist downloads the others",)
        self.base = {"mnist": mnist, "mnist_5k": mnist_5k}[found](split=split)
        self.frames, self.size, self.digits, self.digit, self.speed = frames, size, digits, digit, both
        self.count, self.seed, self.split, self.device = count, seed, split, torch.device("cpu")
        self.name, self.shape, self.classes = "moving_digits", (1, frames, size, size), self.base.classes
        self.keys = ("label", "text") if captions else ("label",)
        self.text = [self.caption(i) for i in range(count)] if captions else None

    def __len__(self) -> int:
        return self.count

    def motions(self, index: int, frames: int | None = None) -> tuple[Motion, ...]:
        """How the digits of a clip really move, one Motion for each; in so many frames, were it longer than it is."""
        which, start, velocity = self._drawn(torch.tensor([index]))
        digits = self._digits(which[0])
        path = digits.corner(start[0], velocity[0], frames or self.frames) + digits.centre[:, None]
        label, high = self.base.labels(which[0]), digits.centre + digits.room
        return tuple(Motion(int(label[d]), path[d], velocity[0, d], digits.centre[d], high[d]) for d in range(self.digits))

    def caption(self, index: int) -> str:
        """What a clip shows, in words."""
        which, _, velocity = self._drawn(torch.tensor([index]))
        nowhere, labels = torch.zeros(0, 2), self.base.labels(which[0]).tolist()
        return ", ".join(str(Motion(label, nowhere, v, nowhere, nowhere)) for label, v in zip(labels, velocity[0], strict=True))

    def labels(self, indices: Tensor) -> Tensor:
        return self.base.labels(self._drawn(indices)[0][:, 0])

    def take(self, indices: Tensor) -> dict[str, Any]:
        which, start, velocity = self._drawn(indices)
        digits = self._digits(which.flatten())
        place = digits.corner(start.flatten(0, 1), velocity.flatten(0, 1), self.frames) - digits.before[:, None]
        place, side = place.float().to(digits.picture.device), digits.picture.shape[-1]
        row, pixel = torch.arange(self.size, device=place.device), torch.arange(side, device=place.device)
        # bilinear interpolation as two matrices (size, side) a frame: a pixel of the digit shared out among the two it lies between, along each axis
        across, down = (1 - (row[:, None] - pixel - place[..., axis, None, None]).abs() for axis in (0, 1))
        x = down.clamp(min=0) @ digits.picture[:, None] @ across.clamp(min=0).mT
        x = x.unflatten(0, (len(indices), self.digits)).amax(1, keepdim=True)
        text = {"text": [self.caption(i) for i in indices.tolist()]} if self.text is not None else {}
        return {"x": x.round_().to(torch.uint8), "label": self.base.labels(which[:, 0]).to(x.device)} | text

    def to(self, device: torch.device | str) -> "MovingDigits":
        moved = copy(self)
        moved.base = self.base.to(device)
        return moved

    def _drawn(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(which digits of the base (B, D), where in their room they start (B, D, 2) in [0, 1), their velocities (B, D, 2))."""
        which, start, velocity = [], [], []
        for i in indices.tolist():
            draw = np.random.Generator(np.random.PCG64(mixed("moving_digits", self.seed, self.split, i)))
            which.append(draw.integers(len(self.base), size=self.digits))
            start.append(draw.random((self.digits, 2)))
            turn, speed = 2 * math.pi * draw.random(self.digits), draw.uniform(self.speed[0], self.speed[1], self.digits)
            velocity.append(np.stack([speed * np.cos(turn), speed * np.sin(turn)], 1))
        return tuple(torch.from_numpy(np.stack(values)) for values in (which, start, velocity))  # type: ignore[return-value]

    def _digits(self, which: Tensor) -> "_Digits":
        """These digits of the base at the size that is wanted."""
        x = self.base.take(which)["x"].float()
        if self.digit != OWN:
            side = max(1, round(x.shape[-1] * self.digit / OWN))
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True).round_()
        x = x[:, 0]
        along = [x.sum(axis).cpu().double() for axis in (1, 2)]  # the brightness of columns, of rows
        seen = [line > 0 for line in along]
        before = torch.stack([line.int().argmax(1) for line in seen], 1).double()
        after = torch.stack([line.flip(1).int().argmax(1) for line in seen], 1)
        here = torch.arange(x.shape[-1], dtype=torch.float64)
        centre = torch.stack([(line * here).sum(1) / line.sum(1) for line in along], 1)
        return _Digits(x, before, centre - before, (self.size - (x.shape[-1] - after - before)).clamp(min=0))


@dataclass(frozen=True)
class _Digits:
    """Pictures of digits (N, side, side), and of the box around each (N, 2): where in its picture it begins, its centre of brightness, and how far it can move."""

    picture: Tensor
    before: Tensor
    centre: Tensor
    room: Tensor

    def corner(self, start: Tensor, velocity: Tensor, frames: int) -> Tensor:
        """Where the box begins in each frame, (N, T, 2)."""
        room = self.room[:, None]
        time = torch.arange(frames, dtype=torch.float64)[:, None]
        return bounced(start[:, None] * room + velocity[:, None] * time, torch.zeros_like(room), room)
