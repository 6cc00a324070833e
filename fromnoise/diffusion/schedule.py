"""Schedules: curves t in [0, 1] -> Level, 0 clean, 1 noise.

One curve plays three parts. Training density: the level of t ~ U(0, 1), so that a density of levels is its quantile function. Sampling
grid: the levels at even t. Clock: the inverse, level -> the time t that the network reads.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..errors import Usage
from .level import Level


@dataclass(frozen=True)
class Schedule(ABC):
    """A curve of levels. `low` and `high` say which part of it is used: t = 0 is the level at `low`, t = 1 the level at `high`."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise Usage(f"a schedule runs from low to high with 0 <= low < high <= 1, not from {self.low} to {self.high}")

    @abstractmethod
    def curve(self, s: Tensor) -> Level:
        """The level at s in [0, 1] on the whole curve."""

    @abstractmethod
    def time(self, level: Level) -> Tensor:
        """The inverse of `curve`: where on the curve the ray through this level is met."""

    def __call__(self, t: Tensor) -> Level:
        """The level at t in [0, 1] between `low` and `high`."""
        return self.curve(self.low + (self.high - self.low) * torch.as_tensor(t, dtype=torch.float64))

    def levels(self, n: int) -> list[Level]:
        """n + 1 levels at even t, falling from `high`; the last one is clean, so n of them are denoised."""
        if n < 1:
            raise Usage(f"a sampler needs at least 1 step, not {n}")
        ends_clean = self(torch.zeros(())).clean
        t = torch.linspace(1, 0, n + 1 if ends_clean else n, dtype=torch.float64)
        return [self(now) for now in t] + ([] if ends_clean else [_clean()])


def _clean() -> Level:
    return Level(torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64))


@dataclass(frozen=True)
class Cosine(Schedule):
    """The quarter circle at constant speed: alpha = cos(pi s / 2), sigma = sin(pi s / 2) (Nichol & Dhariwal 2021; Salimans & Ho 2022)."""

    def curve(self, s: Tensor) -> Level:
        return Level(torch.cos(s * math.pi / 2), torch.sin(s * math.pi / 2))

    def time(self, level: Level) -> Tensor:
        return torch.atan2(level.sigma, level.alpha) * 2 / math.pi


@dataclass(frozen=True)
class Linear(Schedule):
    """DDPM's linear betas in continuous time: alpha² = exp(-s² (b1 - b0) / 2 - s b0) (Song et al. 2021, eq. 32)."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def curve(self, s: Tensor) -> Level:
        integral = s * self.beta_min + s.square() * (self.beta_max - self.beta_min) / 2
        return Level(torch.exp(-integral / 2), torch.sqrt(-torch.expm1(-integral)))

    def time(self, level: Level) -> Tensor:
        integral, slope = torch.log1p((level.sigma / level.alpha).square()), self.beta_max - self.beta_min
        return 2 * integral / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * slope * integral))


@dataclass(frozen=True)
class Flow(Schedule):
    """The straight line: alpha = 1 - s, sigma = s (rectified flow, Liu et al. 2022; alpha-blending, Heitz et al. 2023, with s = 1 - their alpha)."""

    def curve(self, s: Tensor) -> Level:
        return Level(1 - s, s)

    def time(self, level: Level) -> Tensor:
        return level.sigma / (level.alpha + level.sigma)


@dataclass(frozen=True)
class Karras(Schedule):
    """EDM's sampling grid: alpha = 1, sigma^(1/rho) even in s from sigma_min to sigma_max (Karras et al. 2022, eq. 5)."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 < self.sigma_min < self.sigma_max and self.rho > 0):
            raise Usage(f"karras: 0 < sigma_min < sigma_max and 0 < rho, not {self.sigma_min:g}, {self.sigma_max:g} and {self.rho:g}")

    def curve(self, s: Tensor) -> Level:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return Level(torch.ones_like(s), (low + s * (high - low)) ** self.rho)

    def time(self, level: Level) -> Tensor:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return ((level.sigma / level.alpha) ** (1 / self.rho) - low) / (high - low)


@dataclass(frozen=True)
class LogNormal(Schedule):
    """EDM's training density as its quantile function: alpha = 1, log sigma ~ N(mean, std²) (Karras et al. 2022, table 1)."""

    mean: float = -1.2
    std: float = 1.2

    def curve(self, s: Tensor) -> Level:
        normal = torch.special.ndtri(s.clamp(1e-7, 1 - 1e-7))  # it would reach infinity at both ends
        return Level(torch.ones_like(s), torch.exp(self.mean + self.std * normal))

    def time(self, level: Level) -> Tensor:
        return torch.special.ndtr((-level.half_logsnr - self.mean) / self.std)


@dataclass(frozen=True)
class LogitNormal(LogNormal):
    """SD3's training density as its quantile function: sigma = 1 - alpha = sigmoid(z), z ~ N(mean, std²) (Esser et al. 2024, eq. 19)."""

    mean: float = 0.0
    std: float = 1.0

    def curve(self, s: Tensor) -> Level:
        return super().curve(s).framed("rf")  # the same sigma / alpha = e^z


@dataclass(frozen=True)
class Shifted(Schedule):
    """Another schedule with sigma / alpha times `by`: SD3's time shift (Esser et al. 2024, eq. 23) and simple diffusion's log-SNR shift are this line."""

    base: Schedule = field(default_factory=Flow)
    by: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by <= 0:
            raise Usage(f"Shifted multiplies sigma by a positive number, not by {self.by}")

    def curve(self, s: Tensor) -> Level:
        level = self.base(s)
        return replace(level, sigma=level.sigma * self.by).framed("rf")

    def time(self, level: Level) -> Tensor:
        s = self.base.time(replace(level, sigma=level.sigma / self.by))
        return (s - self.base.low) / (self.base.high - self.base.low)
