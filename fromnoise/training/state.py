"""Where a run is: all that its log, its rate and its evaluations follow from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from ..config import Within, call
from .optim import Plateau
from .settings import Settings

LOOKS = 0.1  # of a run's time at most that its looks take: held-out losses and grids; and as much again the end
FORWARD = 3  # forward passes in the time of a training step
Count, Seconds = Annotated[int, Within(0, 10**12)], Annotated[float, Within(0, 10**12)]
FEW = 16  # examples that a held-out loss is of at least


@dataclass
class State:
    """Where a run is. It is saved with the run, so that a resumed one goes on exactly as it would have."""

    step: Count = 0
    images: Count = 0
    seconds: Seconds = 0.0
    total: Count | None = None  # images of the whole run; None until the speed of its first part has been measured
    evals: Count = 0  # evaluations in the whole run
    minutes: float | None = None  # that `total` was made of
    expected: Seconds = 0.0  # images of the whole run, as far as its speed says before its length is decided
    held_out: Count = 0  # examples that a held-out loss is taken of, once the first was
    rows: Count = 0  # of a grid, once the first was drawn
    evaluated: Count = 0  # images at the last evaluation
    evaluating: Seconds = 0.0  # seconds that evaluations took
    bad_steps: Count = 0  # non-finite steps in a row
    skipped: Count = 0  # in all
    factor: Annotated[float, Within(0, 1)] = 1.0  # on the learning rate, halved at every going back
    micro_batches: Annotated[int, Within(1, 1_000_000)] = 1  # in how many parts a process takes its share of a batch
    loss_sum: float = 0.0  # of the steps since the last line of the log
    loss_count: Count = 0
    loss_ema: float | None = None
    kept: list[int] = field(default_factory=list)  # the steps of which weights are kept until newer ones come
    keep: Count = 0  # of how many, at most
    plateau: Plateau = field(default_factory=Plateau)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Becomes what was saved, in place; raises Usage where that is no state."""
        vars(self).update(vars(call(State, saved, "last.ckpt: the state")))

    @property
    def done(self) -> float:
        """How much of the run is done, 0 to 1; 0 until its length is known."""
        return min(1.0, self.images / self.total) if self.total else 0.0

    def share(self, settings: Settings) -> float:
        """How much of the run is done, as somebody who waits for it is shown: by the clock where minutes are not images yet."""
        return self.done if self.total or not settings.minutes else min(1.0, self.seconds / (60 * settings.minutes))

    def begin(self, settings: Settings) -> str | None:
        """Takes the length from the settings, as far as they say it; a line where that changed what was known."""
        before = self.total
        if settings.keep < self.keep:  # what was kept under a larger number stays
            self.kept = []
        self.keep = settings.keep
        if settings.rates_by_loss and isinstance(rate := settings.parts["rate"], partial):  # patience, by, least: the settings' own
            vars(self.plateau).update(rate.keywords)
        if settings.minutes is None:
            self.total, self.evals, self.minutes = settings.total, settings.evals, None
        elif self.total is not None and self.minutes != settings.minutes:  # longer or shorter now: at the speed so far
            self.total, self.evals = math.ceil(self.images * 60 * settings.minutes / max(self.seconds, 1e-9)), settings.evals
            self.minutes = settings.minutes
        self.evals = min(self.evals, settings.evals)
        return f"{self.total:,} images from now on, not {before:,}" if before and self.total != before else None

    def decide(self, settings: Settings, speed: float, cost: float) -> str:
        """Turns minutes into images, once, by the images a second and the seconds an evaluation takes, at most 3 % of the whole; says so in a line."""
        seconds = 60 * settings.minutes
        self.evals = max(1, min(settings.evals, int(0.03 * seconds / max(cost, 1e-9)))) if settings.evals else 0
        left = max(0.0, seconds - self.seconds - max(0, self.evals - 1) * cost)
        steps = math.ceil((self.images + left * speed) / settings.batch)
        self.total, self.minutes = steps * settings.batch, settings.minutes
        taken = f", with {self.evals} evaluations of {cost:.1f} s" if self.evals else ""
        return f"{settings.minutes:g} min are {self.total:,} images, at {speed:,.1f} a second{taken}"

    def warmup(self, settings: Settings) -> float:
        """Images over which the rate rises: a tenth of the run, where the settings say more than the whole of it."""
        return self.total / 10 if self.total and settings.warmup > self.total else settings.warmup

    def rate(self, settings: Settings) -> float:
        """The learning rate of the next step."""
        warmup = self.warmup(settings)
        rising = min(1.0, (self.images + settings.batch) / warmup) if warmup else 1.0
        return settings.lr * rising * settings.parts["rate"](self.done) * self.plateau.factor * self.factor

    def seconds_left(self, settings: Settings) -> float:
        """Seconds that the next look may take: all looks of a run are a tenth of it, and each saves what it leaves for the later ones."""
        length = (self.seconds - self.evaluating) / self.done if self.done else 60 * (settings.minutes or 0)
        done = self.done or self.seconds / max(length, 1e-9)
        return LOOKS * length * (done + 1 / max(1, self.evals if self.total else settings.evals)) - self.evaluating

    def held_out_share(self, settings: Settings, levels: int) -> int:
        """Of how many examples a held-out loss is taken: as the settings say, and with `levels` of noise no more than a twentieth of the run, at
        three times a forward pass for an example of training; a few at least."""
        if not self.held_out:
            images, evals = self.total or self.expected, max(1, self.evals if self.total else settings.evals)
            self.held_out = min(settings.held_out, max(FEW, int(LOOKS / 2 * images * FORWARD / (levels * evals))))
        return self.held_out

    def evaluation_due(self, batch: int) -> bool:
        """Whether this step passed i / evals of the run, 0 < i < evals: the end has an evaluation of its own. Not soon after another."""
        if not self.total or not self.evals or self.images >= self.total:
            return False
        passed = self.images * self.evals // self.total > (self.images - batch) * self.evals // self.total
        return passed and (self.images - self.evaluated) * self.evals * 2 >= self.total


class Pace:
    """Measures a run's speed, from its second tenth of the minutes: what is first is set up, and fresh processors run faster than warm ones."""

    def __init__(self, state: State, settings: Settings):
        self.start, self.first, self.minutes, self.mark = state.seconds, state.step, settings.minutes, (0.0, 0)

    def speed(self, state: State) -> float | None:
        """Images a second, once they are known."""
        share = (state.seconds - self.start) / max(60 * self.minutes - self.start, 1e-9)
        if not self.mark[1] or state.step - self.first <= 3 or share < 0.1:
            self.mark = (state.seconds, state.images)
        elif share >= 0.2 and state.images > self.mark[1]:
            return (state.images - self.mark[1]) / (state.seconds - self.mark[0])
        return None
