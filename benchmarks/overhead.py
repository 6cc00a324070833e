"""The trainer's own share of a step: all but the model's forward and backward pass and the optimizer.

    python benchmarks/overhead.py RECIPE [key=value …]      e.g.  mnist data.root=data

Prints the median step, and how it is spent, over 60 steps after 10 of warming up.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer

import fromnoise.train as training
from fromnoise import config
from fromnoise.model import Model

SKIP, STEPS = 10, 60


class Clock:
    """Adds up the time spent inside the functions it wraps, by step."""

    def __init__(self) -> None:
        self.inside, self.marks, self.spent = 0.0, [], []

    def wrap(self, owner: object, name: str) -> None:
        real = getattr(owner, name)

        def timed(*args, **kwargs):
            began = time.perf_counter()
            try:
                return real(*args, **kwargs)
            finally:
                self.inside += time.perf_counter() - began

        setattr(owner, name, timed)

    def step(self) -> None:
        self.marks.append(time.perf_counter())
        self.spent.append(self.inside)


def main() -> None:
    clock = Clock()
    clock.wrap(Model, "forward")
    clock.wrap(Accelerator, "backward")
    clock.wrap(AcceleratedOptimizer, "step")
    watched = training.Watch.step

    def step(self, *args):
        watched(self, *args)
        clock.step()

    training.Watch.step = step
    settings = config.load(sys.argv[1], [*sys.argv[2:], f"train.steps={SKIP + STEPS}", "train.minutes=null", "train.looks=0"])
    with tempfile.TemporaryDirectory() as folder:
        training.train(settings, Path(folder) / "run", quiet=True)
    whole = [b - a for a, b in zip(clock.marks[SKIP:], clock.marks[SKIP + 1 :], strict=False)]
    inside = [b - a for a, b in zip(clock.spent[SKIP:], clock.spent[SKIP + 1 :], strict=False)]
    own = [w - i for w, i in zip(whole, inside, strict=True)]
    print(f"step {1e3 * statistics.median(whole):.1f} ms, of which the trainer's own {1e3 * statistics.median(own):.2f} ms")
    print(f"share of the trainer: {sum(own) / sum(whole):.2%}")


if __name__ == "__main__":
    main()
