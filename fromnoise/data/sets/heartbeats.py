"""Heartbeats that are drawn by a known law, and read back from a signal: a period, the height of its beats, and noise."""

import math
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from ...config import SEED
from ...draws import mixed
from ...errors import Within
from ..dataset import Dataset, check_split
from ..units import Units
from .sized import Count

# (where in a beat of 2 pi, how high beside the R wave, how wide) of the waves P, Q, R, S and T: a sum of Gaussians of the phase, as the stationary solution of
# McSharry et al. 2003, eq. 1, with waves wide enough for a few samples each
WAVES = ((-1.2, 0.2, 0.3), (-0.5, -0.15, 0.2), (0.0, 1.0, 0.25), (0.5, -0.25, 0.2), (1.7, 0.35, 0.5))
PERIOD, AMPLITUDE, NOISE = (24.0, 48.0), (0.8, 1.6), (0.01, 0.04)  # uniform: samples from beat to beat; mV; standard deviation in mV
UNITS = Units(("ECG, mV",), (0.195,), (0.29,))  # about the mean and the spread of all
CLASSES = ("slow", "fast")
WIDER, APART, PHASES, STEPS, ROWS = 2.0, 0.008, 64, 12, 256  # of the search: beyond the law's periods; from one to the next; of a beat; of refining; at a time


class Beats(NamedTuple):
    """What is known of signals: the period in samples, the height of the R wave and the standard deviation of the noise in mV, all (N,); the phase (N,) of the
    first sample."""

    period: Tensor
    amplitude: Tensor
    noise: Tensor
    phase: Tensor


def beat(phase: Tensor) -> Tensor:
    """A beat whose R wave is about 1 high at phase 0, of period 2 pi."""
    return sum((height * torch.exp(-0.5 * (_turned(phase - place) / width) ** 2) for place, height, width in WAVES), torch.zeros_like(phase))


def _slope(phase: Tensor) -> Tensor:
    """The derivative of `beat`."""
    parts = ((_turned(phase - place), height, width) for place, height, width in WAVES)
    return sum((-height * off / width**2 * torch.exp(-0.5 * (off / width) ** 2) for off, height, width in parts), torch.zeros_like(phase))


def _turned(phase: Tensor) -> Tensor:
    return torch.remainder(phase + math.pi, 2 * math.pi) - math.pi


@final
class Heartbeats(Dataset):
    """Drawn signals (1, length) of beats in the spirit of an electrocardiogram, each of one period and height, with noise, all known; label slow or fast.

    A beat is a sum of five Gaussians. The period is uniform from 24 to 48 samples, the height from 0.8 to 1.6 mV, the noise white and normal with a standard
    deviation from 0.01 to 0.04 mV, and the phase uniform. Signal i is a function of (seed, i) alone, and none is stored. `beats_of` reads all of it back.

    length: samples of a signal. labels: whether signals say slow or fast, by their period, which is above 36 samples or not. count: how many there are.
    """

    in_memory = True
    name, medium, units = "heartbeats", "signals", UNITS

    def __init__(self, length: Annotated[int, Within(64, 65_536)] = 128, labels: bool = True, count: Count = 10_000, seed: SEED = 0, split: str = "train"):
        check_split(split)
        self.length, self.count, self.seed, self.split = length, count, seed, split
        self.shape, self.classes, self.keys = (1, length), CLASSES if labels else (), ("label",) if labels else ()

    def __len__(self) -> int:
        return self.count

    def drawn(self, indices: Tensor) -> tuple[Beats, Tensor]:
        """(what is true of the signals, their noise (B, L) of standard deviation 1)."""
        values, noise = [], []
        for i in indices.tolist():
            draw = np.random.Generator(np.random.PCG64(mixed("heartbeats", self.seed, self.split, i)))
            values.append([draw.uniform(*PERIOD), draw.uniform(*AMPLITUDE), draw.uniform(*NOISE), draw.uniform(0, 2 * math.pi)])
            noise.append(draw.standard_normal(self.length))
        return Beats(*torch.tensor(values, dtype=torch.float64).reshape(-1, 4).T), torch.from_numpy(np.array(noise).reshape(-1, self.length))

    def labels(self, indices: Tensor) -> Tensor:
        return (self.drawn(indices)[0].period <= sum(PERIOD) / 2).long()

    def take(self, indices: Tensor) -> dict[str, Any]:
        true, noise = self.drawn(indices)
        time = torch.arange(self.length, dtype=torch.float64)
        x = true.amplitude[:, None] * beat(true.phase[:, None] + 2 * math.pi * time / true.period[:, None]) + true.noise[:, None] * noise
        return {"x": UNITS.normalised(x[:, None])} | ({"label": (true.period <= sum(PERIOD) / 2).long()} if self.classes else {})


@lru_cache(maxsize=2)
def _bank(length: int) -> tuple[Tensor, Tensor, Tensor]:
    """(beats of norm 1 of all periods and phases, float32 (P · PHASES, L); the periods (P,); the phases (PHASES,))."""
    low, high = math.log(PERIOD[0] / WIDER), math.log(min(PERIOD[1] * WIDER, length))
    # a period that is off by a share turns the phase at the ends by that share of the beats there: as finely as `APART` at 128 samples
    periods = torch.linspace(low, high, 1 + math.ceil((high - low) / (APART * 128 / length)), dtype=torch.float64).exp()
    phases = torch.arange(PHASES, dtype=torch.float64) * (2 * math.pi / PHASES)
    time = torch.arange(length) - (length - 1) / 2
    bank = beat(phases.float()[:, None] + 2 * math.pi * time / periods.float()[:, None, None]).flatten(0, 1)
    return bank / bank.norm(dim=1, keepdim=True), periods, phases


def beats_of(x: Tensor) -> Beats:
    """The period, height, noise and phase of signals (N, L) in mV that come nearest to them, in the least squares: a bank of filters matched to beats of all
    periods and phases, the best of which is refined by Gauss and Newton."""
    x = x.double()
    length = x.shape[1]
    time = torch.arange(length, dtype=torch.float64) - (length - 1) / 2  # from the middle, where phase and period are least entangled
    bank, periods, phases = _bank(length)
    best = torch.cat([(part.float() @ bank.T).argmax(1) for part in x.split(ROWS)])
    rate, phase = 2 * math.pi / periods[best // PHASES], phases[best % PHASES]
    for _ in range(STEPS):
        at = phase[:, None] + rate[:, None] * time
        shape, slope = beat(at), _slope(at)
        amplitude = (x * shape).sum(1) / shape.square().sum(1)
        change = torch.stack([shape, amplitude[:, None] * slope, amplitude[:, None] * slope * time], 2)  # by amplitude, phase and rate
        rest = x - amplitude[:, None] * shape
        step = torch.linalg.lstsq(change, rest[..., None]).solution[..., 0]
        phase, rate = phase + step[:, 1].clamp(-0.1, 0.1), rate * (1 + (step[:, 2] / rate).clamp(-APART, APART))
    shape = beat(phase[:, None] + rate[:, None] * time)
    amplitude = (x * shape).sum(1) / shape.square().sum(1)
    noise = ((x - amplitude[:, None] * shape).square().sum(1) / (length - 3)).sqrt()
    return Beats(2 * math.pi / rate, amplitude, noise, torch.remainder(phase + rate * time[0], 2 * math.pi))
