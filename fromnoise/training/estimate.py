"""What a recipe will cost on this machine: counted where counting is possible, measured for some seconds where it is not."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from ..data import Dataset, Plan, feed
from ..data.dataset import Tensors
from ..device import machine, peak_memory, reset_peak, uncompiled
from ..draws import Draws
from ..errors import Usage
from ..progress import byte_size, duration
from .setup import Setup, setup

COMPILED = 60  # seconds of measuring in which there is time to compile
FEW = 5  # steps that say little


@dataclass(frozen=True)
class Estimate:
    """What training a recipe takes.

    parameters  of network and conditions;  flop  of one example going forward through the network, multiplications and additions counted apart
    fixed       bytes, four a number, of weights, gradients, the optimizer's state and the average;  peak  bytes at most while measuring, None where unknown
    batch       examples a step, of `seconds`;  rows  how many went through the network at once while measuring
    run_seconds  the whole run's length;  examples  how many the data has
    drawn       samples a second, as the recipe draws them, None where it draws none;  how  in words;  trust  how far to trust the times, in words
    """

    parameters: int
    flop: float
    fixed: int
    peak: int | None
    rows: int
    batch: int
    seconds: float
    run_seconds: float
    examples: int
    drawn: float | None
    how: str
    trust: str
    machine: str

    @property
    def rate(self) -> float:
        """Examples a second."""
        return self.batch / self.seconds

    def lines(self) -> list[tuple[str, str]]:
        """(what, how much), in words."""
        images = self.rate * self.run_seconds
        return [
            ("parameters", f"{self.parameters:,}"),
            ("network", f"{self.flop / 1e9:,.3f} GFLOP an example forward, about three times that for a training step"),
            ("weights, gradients, optimizer, average", byte_size(self.fixed)),
            ("peak memory while measuring", "not known on this device" if self.peak is None else byte_size(self.peak)),
            ("speed", f"{self.rate:,.1f} examples/s: {duration(self.seconds)} a step of {self.batch:,}, measured with {self.rows:,} at once"),
            ("rate of computation", f"{3 * self.flop * self.rate / 1e12:,.3f} TFLOP/s"),
            ("the whole run", f"{duration(self.run_seconds)}: {images:,.0f} examples, {images / self.examples:,.1f} times the data"),
            *([("sampling", f"{self.drawn:,.2f} samples/s by {self.how}")] if self.drawn is not None else []),
            ("how far to trust this", self.trust),
            ("machine", self.machine),
        ]


def estimate(
    recipe: Any, seconds: float = 10.0, device: str | None = None, trust: bool = False, own_process: bool = False, data: Dataset | None = None
) -> Estimate:
    """Counts, and trains and draws for about `seconds` on the recipe's data, or other, without keeping anything; raises Usage for what cannot be trained.

    A step is gradients, which take as long as there are examples, and one update. What is measured first is one of each, of one example; a network
    is not compiled for less than a minute, and what does not fit into the time is reckoned from what did.
    """
    if not seconds > 0:
        raise Usage(f"measure for some seconds, not {seconds:g}")
    parts = setup(recipe, device, trust, own_process, data)
    if parts.chosen:
        print(parts.chosen, file=sys.stderr)
    settings, model, place = parts.settings, parts.model, parts.accelerator.device
    with torch.no_grad():
        work = parts.objective.flop()
    stream = feed(parts.data, Plan(len(parts.data), settings.batch), 0, place, parts.flip, settings.workers)
    parts.gradient.micro_batches = 1
    reset_peak(place)

    def gradient(rows: int) -> float:
        began = _now(place)
        batch, draws = {key: value[:rows] for key, value in next(stream).items()}, Draws((parts.recipe.seed, rows), range(rows), rows)
        parts.optimizer.zero_grad(set_to_none=True)
        parts.gradient(parts.objective.drawn(batch, draws, 0.0), draws)
        return _now(place) - began

    def update() -> float:
        began = _now(place)
        parts.optimizer.step()
        parts.ema.update(parts.parameters, settings.batch)
        return _now(place) - began

    compiled = settings.compile or (settings.compile is None and place.type == "cuda")
    with uncompiled() if compiled and seconds < COMPILED else nullcontext():
        began, most = _now(place), settings.batch // settings.accumulate
        rows, times, updated, first = _measured(gradient, update, seconds, most)
    optimized = sum(v.numel() for state in parts.optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor))
    count, learnt = (sum(p.numel() for p in those) for those in (model.parameters(), parts.parameters))
    peak = peak_memory(place)
    second, name = statistics.median(times), machine(place)
    whole = second * settings.batch / rows + updated
    drawn, how, walked = _drawing(parts, rows, second, seconds - (_now(place) - began)) if parts.objective.draw else (None, "", True)
    run_seconds = settings.total * whole / settings.batch if settings.total else 60 * settings.minutes
    said = {
        f"gradients of one example and an update took {duration(first)}, longer than --seconds {seconds:g}": first > seconds,
        f"measured with {rows:,} at once; of {most:,} each takes less time": 4 * rows <= most,
    }
    trust = "; ".join([*(words for words, holds in said.items() if holds), _trust(times, compiled and seconds < COMPILED, walked)])
    return Estimate(parameters=count, flop=work, fixed=4 * (count + 2 * learnt + optimized), peak=peak, rows=rows, batch=settings.batch, seconds=whole,
                    run_seconds=run_seconds, examples=len(parts.data), drawn=drawn, how=how, trust=trust,
                    machine=f"{name['machine']}, {name['threads']} threads, torch {name['torch']}")  # fmt: skip


def _drawing(parts: Setup, rows: int, second: float, left: float) -> tuple[float, str, bool]:
    """(samples a second, how they are drawn, whether that was measured); `second`: of the gradients of so many rows, of which a way forward is a third."""
    sampling, draw, place = parts.model.sampling, parts.objective.draw, parts.accelerator.device
    step, measured = second / 3 * (2 if sampling.guidance != 1 else 1), 2 * second < left
    if measured:
        draw(rows)  # what a new shape costs once
        began = _now(place)
        draw(rows)
        step = _now(place) - began
    how = f"{sampling.sampler} in {sampling.steps} steps" + (f", guidance {sampling.guidance:g}" if sampling.guidance != 1 else "")
    return rows / sampling.steps / step, how, measured


def _measured(gradient: Callable[[int], float], update: Callable[[], float], seconds: float, most: int) -> tuple[int, list[float], float, float]:
    """(examples at once, the times of their gradients, that of an update, that of the first of each), as many of them as there is time for."""
    began, rows = time.perf_counter(), 1
    times, updated = [gradient(rows)], update()
    first = times[0] + updated
    if first + updated < seconds / 3:  # the first one makes the optimizer's state
        updated = update()
    if times[0] < (left := seconds - (time.perf_counter() - began)) / 3:  # else there is no time for another
        while rows < most and 16 * gradient(rows) < left:
            rows = min(most, 4 * rows)
            gradient(rows)  # what a new shape costs once
        times = [gradient(rows)]
    while time.perf_counter() - began + times[-1] < seconds * 3 / 4 and len(times) < 1000:
        times.append(gradient(rows))
    return rows, times, updated, first


def _trust(times: Sequence[float], eager: bool, walked: bool) -> str:
    """What is known of how good a measurement is: the spread of its steps, and what else the machine does."""
    lower, upper = (statistics.quantiles(times, n=4)[i] for i in (0, 2)) if len(times) > 1 else (0.0, 0.0)
    spread = f"half of {len(times)} steps within {(upper - lower) / 2 / statistics.median(times):.0%} of one another's middle"
    load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    said = {
        spread: len(times) >= FEW,
        f"only {len(times)} step{'s' * (len(times) > 1)} measured: perhaps half or twice as much; give more --seconds": len(times) < FEW,
        f"others use this machine (load {load:.1f} on {cores} cores): alone it is faster": load > cores + 0.5,
        "measured without compiling, which --seconds 60 includes": eager,
        "drawing was not measured, but reckoned from a step": not walked,
    }
    return "; ".join(words for words, holds in said.items() if holds)


def speed(recipe: Mapping[str, Any], shape: tuple[int, ...], classes: int, seconds: float = 2.0) -> float:
    """Images a second of training what a recipe says, uncompiled, on pictures (C, H, W) of noise of so many classes; without data or length in it."""
    rows = 2 * recipe["train"]["batch"]
    noise = torch.randint(0, 256, (rows, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = Tensors("noise", noise, torch.arange(rows) % classes if classes else None, classes=tuple(str(i) for i in range(classes)))
    train = {**recipe["train"], "steps": 1, "evals": 0, "compile": False}
    return estimate({**recipe, "train": train}, seconds, data=data).rate


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
