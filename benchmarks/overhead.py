"""The trainer's own share of a step: all but the model's forward and backward pass and the optimizer; and the loader's part of that.

    python benchmarks/overhead.py RECIPE [key=value …]      e.g.  mnist data.root=data

Prints the median step, and how it is spent, over 60 steps after 10 of warming up.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer

import fromnoise.training.loop as training
from fromnoise import config
from fromnoise.model import Model

SKIP, STEPS = 10, 60


class Clock:
    """Adds up the time spent inside the functions it wraps, by name and step."""

    def __init__(self) -> None:
        self.inside: dict[str, float] = {}
        self.marks: list[float] = []
        self.spent: list[dict[str, float]] = []

    def timed(self, name: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        try:
            return call()
        finally:
            self.inside[name] = self.inside.get(name, 0.0) + time.perf_counter() - began

    def wrap(self, owner: Any, method: str, name: str) -> None:
        real = getattr(owner, method)
        setattr(owner, method, lambda *args, **kwargs: self.timed(name, lambda: real(*args, **kwargs)))

    def wrap_stream(self, owner: Any, function: str, name: str) -> None:
        real = getattr(owner, function)

        def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            inner = real(*args, **kwargs)
            while True:
                yield self.timed(name, lambda: next(inner))

        setattr(owner, function, stream)

    def step(self) -> None:
        self.marks.append(time.perf_counter())
        self.spent.append(dict(self.inside))


def main() -> None:
    clock = Clock()
    clock.wrap(Model, "forward", "work")
    clock.wrap(Accelerator, "backward", "work")
    clock.wrap(AcceleratedOptimizer, "step", "work")
    clock.wrap_stream(training, "feed", "loader")
    watched = training.Monitor.step

    def step(self, *args):
        watched(self, *args)
        clock.step()

    training.Monitor.step = step
    settings = config.load(sys.argv[1], [*sys.argv[2:], f"train.steps={SKIP + STEPS}", "train.evals=0"])
    with tempfile.TemporaryDirectory() as folder:
        training.train(settings, Path(folder) / "run", quiet=True, own_process=True)
    whole = [b - a for a, b in zip(clock.marks[SKIP:], clock.marks[SKIP + 1 :], strict=False)]
    work, loader = (
        [b[name] - a[name] for a, b in zip(clock.spent[SKIP:], clock.spent[SKIP + 1 :], strict=False)] for name in ("work", "loader")
    )
    own = [w - i for w, i in zip(whole, work, strict=True)]
    print(f"step {1e3 * statistics.median(whole):.1f} ms, of which the trainer's own {1e3 * statistics.median(own):.2f} ms")
    print(f"share of the trainer: {sum(own) / sum(whole):.2%}, the loader's part of it {sum(loader) / sum(whole):.2%}")


if __name__ == "__main__":
    main()
