"""A denoiser: a network seen as (x, level) -> (x0, eps)."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import Usage, nearest
from ..registry import lookup
from .level import LENGTH, Level
from .predict import Row, row_of, solve
from .schedule import Cosine, Flow, Schedule

Denoise = Callable[[Tensor, Level], tuple[Tensor, Tensor]]  # (x, level) -> (x0, eps) with level.mix(x0, eps) == x


def angle(level: Level) -> Tensor:
    """The share of the quarter circle, 0 at the data, 1 at the noise."""
    return Cosine().time(level)


def flow(level: Level) -> Tensor:
    """sigma / (alpha + sigma): flow matching's t, 0 at the data, 1 at the noise."""
    return Flow().time(level)


def alpha(level: Level) -> Tensor:
    """alpha / (alpha + sigma): alpha-blending's alpha, 1 at the data, 0 at the noise."""
    return level.alpha / (level.alpha + level.sigma)


def log(level: Level) -> Tensor:
    """log(sigma / alpha) / 4: EDM's c_noise (Karras et al. 2022, table 1)."""
    return -level.half_logsnr / 4


Clock = Callable[[Level], Tensor]  # level -> t, the time that the network reads, of level.alpha's shape

CLOCKS: dict[str, Clock] = {"angle": angle, "flow": flow, "alpha": alpha, "log": log}


class Denoiser(nn.Module):
    """A network with what it predicts, how its input is scaled, and which time it reads.

    forward(x (B, C, *S), level, context) -> (x0, eps), both like x. The network is called as network(c_in x, t (B,), context) -> F, with
    c_in = 1 / length of (alpha data_std, sigma) in `frame`: for `vp` one over the standard deviation of x. Only the network runs in
    the reduced precision of `autocast`; the blend stays in x's own.

    predict  a name of `PREDICT` or `module:name`, or a row (level, data_std) -> (a, b)
    clock    which time t the network reads: a name of `CLOCKS` or `module:name`, a function level -> t, or a schedule, of which it is `time`
    """

    def __init__(
        self, network: nn.Module, predict: str | Row = "v", clock: str | Clock | Schedule = "angle", frame: str = "vp", data_std: float = 1.0
    ):
        super().__init__()
        if frame not in LENGTH:
            raise Usage(f"no frame {frame!r}{nearest(frame, LENGTH)}")
        self.network, self.predict, self.frame, self.data_std = network, row_of(predict), frame, data_std
        self.clock: Clock = clock.time if isinstance(clock, Schedule) else lookup(CLOCKS, clock, "clock")
        self.autocast: torch.dtype | None = None  # bfloat16 where the machine has it in hardware; set by whoever owns the device

    def raw(self, x: Tensor, level: Level, context: Any = None) -> Tensor:
        """F (B, C, *S): what the network itself predicts."""
        c_in, _ = Level(1 / LENGTH[self.frame](level.alpha * self.data_std, level.sigma), level.sigma).like(x)
        t = self.clock(level).to(x).expand(len(x))
        with self.precision(x.device):
            if getattr(context, "hints", None):  # control branches see the same input, t and precision
                context = context.resolve_controls(c_in * x, t, level.sigma / level.alpha)
            return self.network(c_in * x, t, context).to(x)

    def precision(self, device: torch.device) -> AbstractContextManager[Any]:
        """Within it, networks run as `autocast` says."""
        return torch.autocast(device.type, self.autocast) if self.autocast else nullcontext()

    def forward(self, x: Tensor, level: Level, context: Any = None) -> tuple[Tensor, Tensor]:
        return solve(self.predict, level, x, self.raw(x, level, context), self.data_std)

    def check(self, noisiest: Level) -> None:
        """Refuses a clock or a frame that is infinite at the noisiest level, with the cure."""
        length = LENGTH[self.frame](noisiest.alpha * self.data_std, noisiest.sigma)
        if not bool(torch.isfinite(noisiest.alpha + noisiest.sigma)):
            raise Usage("the noise schedule is not a number at its noisy end; look at its settings")
        t = self.clock(noisiest)
        if getattr(t, "shape", None) != noisiest.alpha.shape:
            raise Usage("the clock must give a tensor t of the shape of level.alpha")
        if not bool(torch.isfinite(t)) or float(length / torch.hypot(noisiest.alpha, noisiest.sigma)) < 1e-6:
            raise Usage("the clock or the frame is infinite at alpha = 0: set high to 0.999 in noise (or sample.schedule), or choose clock=angle, frame=vp")


@dataclass(frozen=True, eq=False)
class Bound:
    """A denoiser with its context bound, so that a sampler sees (x, level) -> (x0, eps) and nothing else."""

    denoiser: Denoiser
    context: Any = None

    def __call__(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        return self.denoiser(x, level, self.context)
