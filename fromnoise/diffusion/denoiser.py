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

    forward(x (B, C, *S), level, context) -> (x0, eps), both like x. The network is called as network(c_in x, t (B,) or (B, T), context) -> F, with
    c_in = 1 / length of (alpha data_std, sigma) in `frame`: for `vp` one over the standard deviation of x. Only the network runs in
    the reduced precision of `autocast`; the blend stays in x's own.

    predict  a name of `PREDICT` or `module:name`, or a row (level, data_std) -> (a, b)
    clock    which time t the network reads: a name of `CLOCKS` or `module:name`, a function level -> t, or a schedule, of which it is `time`
    self_condition  whether the network sees, before the channels beside x, the last estimate of x0 over data_std; see `seeing`
    """

    def __init__(
        self, network: nn.Module, predict: str | Row = "v", clock: str | Clock | Schedule = "angle", frame: str = "vp", data_std: float = 1.0,
        self_condition: bool = False,
    ):  # fmt: skip
        super().__init__()
        if frame not in LENGTH:
            raise Usage(f"no frame {frame!r}{nearest(frame, LENGTH)}")
        self.network, self.predict, self.frame, self.data_std = network, row_of(predict), frame, data_std
        self.self_condition = self_condition
        self.clock: Clock = clock.time if isinstance(clock, Schedule) else lookup(CLOCKS, clock, "clock")
        self.autocast: torch.dtype | None = None  # bfloat16 where the machine has it in hardware; set by whoever owns the device

    def raw(self, x: Tensor, level: Level, context: Any = None) -> Tensor:
        """F (B, C, *S): what the network itself predicts."""
        c_in, _ = Level(1 / LENGTH[self.frame](level.alpha * self.data_std, level.sigma), level.sigma).like(x)
        t = self.clock(level).to(x)
        t = t.expand(len(x), *t.shape[1:])
        with self.precision(x.device):
            if getattr(context, "hints", None):  # control branches see the same input, t and precision
                context = context.resolve_controls(c_in * x, t, level.sigma / level.alpha)
            return self.network(c_in * x, t, context).to(x)

    def seeing(self, context: Any, x: Tensor, x0: Tensor | None = None) -> Any:
        """The context of x (B, C, *S) with the estimate x0 that a self-conditioned network sees beside it, zeros where there is none yet (Chen et al. 2022,
        sec. 2.3); as it is where the network is not self-conditioned."""
        return context.with_estimate(torch.zeros_like(x) if x0 is None else x0 / self.data_std) if self.self_condition else context

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


@dataclass(eq=False)
class Last:
    """The estimate x0 (B, C, *S) that a walk has come to, which self-conditioned networks see at its next step: after guidance, clipping and whatever else
    changes it, so that all sides of guidance see the same one. None before the first."""

    x0: Tensor | None = None

    def like(self, x: Tensor) -> Tensor | None:
        """The estimate for x; where that is several batches of the walk's in one pass, for each of them."""
        return self.x0 if self.x0 is None else self.x0.repeat(len(x) // len(self.x0), *[1] * (x.ndim - 1))

    def of(self, denoise: Denoise) -> Denoise:
        """The denoiser, whose estimates become the last one."""

        def noted(x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
            x0, eps = denoise(x, level)
            self.x0 = x0.detach()
            return x0, eps

        return noted


@dataclass(frozen=True, eq=False)
class Bound:
    """A denoiser with its context bound, so that a sampler sees (x, level) -> (x0, eps) and nothing else; a self-conditioned one sees the `last` estimate."""

    denoiser: Denoiser
    context: Any = None
    last: Last | None = None

    def __call__(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        return self.denoiser(x, level, self.denoiser.seeing(self.context, x, self.last and self.last.like(x)))
