"""A training run, readable from top to bottom."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate import Accelerator

from ..data import Plan, feed
from ..draws import Draws
from ..errors import Problem
from ..runs import locked
from ..runs.folder import EXAMPLES, Run
from .checkpoint import create_or_check, go_back, keep_best, restore, save, write_checkpoint
from .monitor import Abandoned, Monitor
from .setup import Setup, setup
from .state import Pace, State
from .step import diagnosis

ONE = 0.5  # seconds within which two signals are one: torchrun hands on what the terminal has sent to all


@contextmanager
def signals(say: Callable[[], None] = lambda: None) -> Iterator[list[int]]:
    """Within it SIGINT and SIGTERM are noted in a list, and the first is answered by `say()`; a second one ends the process at once. Off the main
    thread none is noted."""
    noted, since = list[int](), 0.0

    def note(number: int, frame: Any) -> None:
        nonlocal since
        if not noted:
            noted.append(number)
            since = time.monotonic()
            say()
        elif time.monotonic() - since > ONE:
            raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)} if here else {}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def together() -> Iterator[None]:
    """Within it, a Problem is raised where another of the processes that train together is no longer there."""
    try:
        yield
    except RuntimeError as error:
        lost = any(said in str(error) for said in ("gloo", "NCCL", "Connection", "TCPStore"))
        if not (lost and torch.distributed.is_available() and torch.distributed.is_initialized()):
            raise
        why = str(error).splitlines()[0].partition("] ")[2].partition(". ")[0][:120]
        raise Problem(f"another process of this training has ended ({why}); the same command goes on from the last save") from error


class Stopped(Problem):
    """Training was stopped by a signal, and has saved."""

    def __init__(self, run: Run, number: int):
        super().__init__(f"stopped and saved in {run.path}; the same command goes on from there")
        self.exit_code = 128 + number


@together()
def train(recipe: Any, out: str | Path, fresh: bool = False, quiet: bool = False, device: str | None = None, trust: bool = False,
          own_process: bool = False) -> Run:  # fmt: skip
    """Trains what the recipe describes into the run folder `out`, or goes on with it where it stopped.

    Every draw is a function of (seed, step, example), and every setting that changes in a run one of the images seen, so an interrupted and
    resumed run equals an uninterrupted one, and so do runs on one or several processes, up to rounding. Raises Problem where `out` holds a
    run with other settings, unless `fresh`, which renames that one. `trust` and `own_process`: see `setup`.
    """
    parts, run = setup(recipe, device, trust, own_process), Run(out)
    with locked(run.path) if parts.main else nullcontext():
        return _train(run, parts, fresh, quiet)


def _train(run: Run, parts: Setup, fresh: bool, quiet: bool) -> Run:
    """The training loop, in a run folder that is this process's own."""
    state = State()
    settings, accelerator, model, optimizer = parts.settings, parts.accelerator, parts.model, parts.optimizer
    if parts.main:
        create_or_check(run, parts.recipe, fresh, accelerator.device)
        if model.examples() and not (run.path / EXAMPLES).is_file():
            run.save_examples(model.examples())
    accelerator.wait_for_everyone()
    if resumed := run.checkpoint.is_file():
        restore(run, state, parts)
    changed = state.begin(settings)
    accelerator.wait_for_everyone()
    if parts.main:
        run.rewind_log(state.step or -1)  # what was logged after the checkpoint will be lived again
        if not resumed:
            write_checkpoint(run, state, parts)  # so that a run that fails early has somewhere to go back to
    batches = Plan(len(parts.data), len(parts.rows), parts.recipe.seed, accelerator.process_index, accelerator.num_processes)
    monitor = Monitor(run, state, parts, quiet)

    def stream() -> Any:
        return feed(parts.data, batches, state.step, accelerator.device, parts.flip, settings.workers)

    def evaluate(seconds: float | None = None) -> float | None:
        held_out = monitor.evaluate(seconds)
        if settings.rates_by_loss and held_out is not None:
            state.plateau.update(held_out)
        keep_best(run, state.step, parts, held_out)
        return held_out

    with signals(monitor.acknowledge) as noted, closing(monitor):
        monitor.noted = noted
        monitor.open(changed)
        if state.done >= 1 and run.finished(state.step):
            return run
        if parts.main:
            (run.path / "summary.json").unlink(missing_ok=True)  # of an earlier, shorter life
        feeding, pace = stream(), Pace(state, settings)
        began, saved = time.perf_counter() - state.seconds, time.perf_counter()
        if resumed and state.evaluation_due(settings.batch):  # which a signal cut short
            evaluate()
        while state.done < 1:
            draws = Draws((parts.recipe.seed, state.step), parts.rows, settings.batch)
            batch = parts.objective.drawn(next(feeding), draws, state.done)
            rate = state.rate(settings)
            for group in optimizer.param_groups:
                group["lr"] = rate
            value, norm = parts.gradient(batch, draws)
            state.step, state.images = state.step + 1, state.images + settings.batch
            if parts.gradient.micro_batches > max(state.micro_batches, settings.accumulate):
                state.micro_batches = parts.gradient.micro_batches
                monitor.event("memory", f"it ran out: each batch now goes through in {state.micro_batches} parts, with the same result")
            if good := math.isfinite(norm + float(value)):
                state.bad_steps = 0
                optimizer.step()
                if state.step % 4 == 0:  # it costs a pass over all weights
                    parts.ema.update(parts.parameters, state.images)
            else:
                monitor.event("skipped", why := diagnosis(batch, value, norm))
                state.bad_steps, state.skipped = state.bad_steps + 1, state.skipped + 1
                if state.bad_steps >= settings.max_bad_steps:
                    go_back(run, state, parts, why)
                    monitor.mark()
                    monitor.event("rolled back", f"{settings.max_bad_steps} such steps in a row; the rate is now {state.factor:g} of train.lr")
                    feeding, pace = stream(), Pace(state, settings)
            optimizer.zero_grad(set_to_none=True)

            state.seconds, signalled, late = time.perf_counter() - began, 0, 0
            agreed = accelerator.num_processes == 1 or state.step % 8 == 0  # several processes agree on time and signals now and then
            if agreed:
                late = time.perf_counter() - saved > 60 * settings.save_minutes
                state.seconds, signalled, late = _agreed(accelerator, state.seconds, noted[0] if noted else 0, late)
            if good:
                monitor.step(value, norm, rate)
            if good and agreed and not signalled and state.total is None and (speed := pace.speed(state)):
                before, state.expected = state.evaluating, 60 * settings.minutes * speed
                if settings.evals:
                    evaluate()
                state.seconds, *measured = _agreed(accelerator, time.perf_counter() - began, speed, state.evaluating - before)
                monitor.event("length", state.decide(settings, *measured))
                monitor.warmup()
            elif good and not signalled and state.evaluation_due(settings.batch):
                evaluate()
                state.seconds = time.perf_counter() - began
            every = any(n and state.step % n == 0 for n in (settings.save_every, settings.keep_every))
            if accelerator.num_processes == 1 and noted:  # while it evaluated, too
                signalled = noted[0]
            if good and (signalled or every or late):  # never over the last good one
                save(run, state, parts)
                saved = time.perf_counter()
            if signalled:
                _stop(run, monitor, accelerator, int(signalled))
        parts.ema.update(parts.parameters, state.images)
        save(run, state, parts)
        abandoned = 0
        try:
            monitor.finish(evaluate if settings.evals else lambda seconds: None)
        except Abandoned:
            abandoned = noted[0]
        abandoned = int(_agreed(accelerator, abandoned)[0])  # the other processes wait here while the main one draws, and end as it does
        if abandoned:
            _stop(run, monitor, accelerator, abandoned)
    return run


def _stop(run: Run, monitor: Monitor, accelerator: Accelerator, number: int) -> NoReturn:
    """Ends the run as a signal asks, all processes at a time: one that goes while another still writes its report may take that down."""
    monitor.stopped(number)
    accelerator.wait_for_everyone()
    raise Stopped(run, number)


def _agreed(accelerator: Accelerator, *numbers: float) -> list[float]:
    """The largest of every process's numbers, so that all take the same way."""
    if accelerator.num_processes == 1:
        return list(numbers)
    mine = torch.tensor([numbers], dtype=torch.float32, device=accelerator.device)
    return accelerator.gather(mine).amax(0).tolist()
