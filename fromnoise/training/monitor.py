"""What is seen of a run while it goes on: the log, the progress line, the held-out loss, the grids."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from .. import figures
from ..device import free_memory, out_of_memory, uncompiled
from ..model import NotFinite
from ..progress import console, duration
from ..runs.folder import Run
from .previews import STEP
from .setup import Setup
from .state import LOOKS, State

WAIT, SILENCE = 10, 30  # seconds after which something is said on the screen, and in the log, whatever `log_every` is


class Abandoned(Exception):
    """A look that a signal has ended."""


class Monitor:
    """Logs every `log_every` steps; an evaluation takes the averaged weights' held-out loss, at fixed noise and levels, and draws a grid."""

    def __init__(self, run: Run, state: State, parts: Setup, quiet: bool):
        self.run, self.state, self.parts, self.settings, self.main = run, state, parts, parts.settings, parts.main
        self.most = self.micro_batch
        self.noted: list[int] = []  # signals
        self.previews = parts.objective.previews(self)
        self.mark()
        self.spoke, self.logged = time.perf_counter() - WAIT + 3, time.perf_counter()  # the first line soon
        self.console = console(stderr=True, quiet=quiet or not self.main)
        self.warnings = console(stderr=True, quiet=not self.main) if quiet else self.console
        self.live = self.console.is_terminal and not self.console.quiet
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=self.console, disable=not self.live)
        make = self.settings.parts["tracker"]
        self.trackers = [make(run)] if make and self.main else []

    def open(self, changed: str | None) -> None:
        """Says what begins, or goes on, and how its length `changed`."""
        parts, state = self.parts, self.state
        count, trained = (sum(p.numel() for p in those) for those in (parts.model.parameters(), parts.parameters))
        share = f" ({trained:,} of them, {trained / count:.1%}, trained)" if trained < count else ""
        self.console.print(
            f"{self.run.path}: {len(parts.data):,} examples of {parts.data.name} {parts.data.shape}, {count:,} parameters{share}, "
            f"on {parts.model.device} in {'bf16' if parts.model.autocast else 'fp32'}"
        )
        self.mark()
        if parts.chosen:
            self.console.print(parts.chosen, soft_wrap=True, markup=False)
        for line in dict.fromkeys((*parts.data.left_out, *(parts.test.left_out if parts.test else ()))):
            self.warnings.print(f"left out: {line}", style="yellow", soft_wrap=True)
        self.event("resumed" if state.step else "started", f"from step {state.step}" if state.step else "")
        if changed:
            self.event("length", changed)
        if not state.step and state.total:
            self.warmup()
        if not state.step and self.main:
            self.previews.first()
        if state.step:
            more = f"finished at step {state.step:,} already; a larger {self.settings.length} goes on"
            self.console.print(more if state.done >= 1 else f"resumed from step {state.step:,}")
        self.task = self.bar.add_task("", total=1.0, completed=state.share(self.settings))
        self.bar.start()

    @property
    def micro_batch(self) -> int:
        """How many examples go through the network at a time in training."""
        return len(self.parts.rows) // self.parts.gradient.micro_batches

    def within_memory(self, work: Callable[[int], Any]) -> Any:
        """work(examples at a time): a micro-batch of them, and half as many, for good, wherever memory runs out; None where it does not hold one."""
        while True:
            self.most = min(self.most, self.micro_batch)
            try:
                return work(self.most)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
            free_memory()  # outside, where the error no longer holds what failed
            if self.most == 1:
                return self.event("memory", "it does not hold a single example while evaluating; the run goes on without")
            self.most //= 2
            self.event("memory", f"it ran out while evaluating: {self.most} examples at a time from now on, with the same result")

    def mark(self) -> None:
        """From here on speed is counted anew."""
        self.since = (self.state.seconds - self.state.evaluating, self.state.images)

    def close(self) -> None:
        self.bar.stop()
        for tracker in self.trackers:
            tracker.close()

    def event(self, event: str, why: str) -> None:
        """Something that happened, in the log; and on the screen where it matters."""
        if self.main:
            self._write(event=event, why=why)
            if event in ("skipped", "rolled back", "warm-up", "length", "not drawn"):  # said on the screen too
                self.console.print(f"step {self.state.step:,} {event}: {why}", style="yellow")

    def acknowledge(self) -> None:
        """Says at once that a signal was heard: by the system's own call, since within its handler no stream may be written."""
        if self.main and not self.console.quiet:
            with suppress(OSError):
                os.write(2, b"\nstopping: saving ...; press again to end now\n")

    @contextmanager
    def abandonable(self) -> Iterator[None]:
        """Within it the network raises Abandoned once a signal has been noted."""

        def check(*call: Any) -> None:
            if self.noted:
                raise Abandoned

        hook = self.parts.model.networks()[0].register_forward_pre_hook(check)
        try:
            yield
        finally:
            hook.remove()

    def warmup(self) -> None:
        """Says so where the warm-up is cut."""
        cut = self.state.warmup(self.settings)
        if cut < self.settings.warmup and self.state.total > self.settings.batch:  # else there is no second step for it to rise to
            run = f"train.warmup is {self.settings.warmup:,} images, longer than the run of {self.state.total:,}"
            self.event("warm-up", f"{run}; the rate rises over {cut:,.0f}, a tenth of it")

    def step(self, value: Tensor, norm: float, rate: float) -> None:
        """Takes in a step's loss; now and then writes a line."""
        state = self.state
        state.loss_sum, state.loss_count = state.loss_sum + float(value), state.loss_count + 1
        now = time.perf_counter()
        seconds, images = state.seconds - state.evaluating - self.since[0], state.images - self.since[1]
        speed, loss = images / seconds if seconds > 0 else 0.0, state.loss_sum / state.loss_count
        due = state.step % self.settings.log_every == 0 or state.done >= 1 or state.step <= 1 or now - self.logged > SILENCE
        if due:
            self.logged, state.loss_sum, state.loss_count = now, 0.0, 0
            state.loss_ema = loss if state.loss_ema is None else 0.9 * state.loss_ema + 0.1 * loss
            self.mark()
            self._log(loss=loss, loss_ema=state.loss_ema, lr=rate, norm=norm, images_per_second=round(speed, 1))
        line = f"step {state.step:,}  loss {loss if state.loss_ema is None else state.loss_ema:.4f}  {speed:,.0f} images/s"
        if due or now - self.spoke > WAIT:
            self.bar.update(self.task, completed=state.share(self.settings), description=line)
        if not self.live and (now - self.spoke > WAIT or state.step == 1):
            self.spoke = now
            done = state.share(self.settings)
            left = f", {state.seconds * (1 - done) / done / 60:.1f} min left" if done else ""
            self.console.print(f"{line}  {done:.0%}{left}")

    def _write(self, **entry: Any) -> None:
        self.run.log(step=self.state.step, images=self.state.images, seconds=round(self.state.seconds, 3), **entry)

    def _log(self, **values: Any) -> None:
        if self.main:
            self._write(**values)
        for tracker in self.trackers:
            tracker.add({key: value for key, value in values.items() if isinstance(value, (int, float))}, self.state.step)

    @torch.no_grad()
    def evaluate(self, seconds: float | None = None) -> float | None:
        """The held-out loss, logged as a whole and by level, None where no examples are held out; and a grid, drawn in `seconds`, or in what is left
        to previews. A signal ends it: what is missing is made up for when the run goes on."""
        began, mean, more, alone = time.perf_counter(), None, {}, self.parts.accelerator.num_processes == 1
        with self.parts.ema.applied(self.parts.parameters), uncompiled(), suppress(Abandoned):
            self.parts.model.eval()
            with self.abandonable() if alone else nullcontext():  # of several processes all take it, or none
                mean, more = self.held_out()
            mean = broadcast_object_list([mean])[0]  # rates follow from it: of several processes, all take the main one's, which is logged
            if mean is not None:
                self._log(held_out=mean, **more)
            self.state.evaluated = self.state.images
            taken = time.perf_counter() - began
            if self.main:
                least = 0 if seconds is None else 1
                rows = self.previews.grid(self.grid, STEP, (self.state.seconds_left(self.settings) if seconds is None else seconds) - taken, least)
                self.state.rows = self.state.rows or rows
        self.parts.model.train()
        self.state.evaluating += time.perf_counter() - began
        return mean

    @property
    def grid(self) -> Path:
        """The file of this step's grid."""
        return self.run.path / "samples" / f"step_{self.state.step:08d}.png"

    def held_out(self) -> tuple[float | None, dict[str, Any]]:
        """(the loss on examples that are never trained on, what the objective says beside it); None where there are none."""
        unseen, objective, device = self.parts.test, self.parts.objective, self.parts.model.device
        if unseen is None:
            return None, {}
        n = min(self.state.held_out_share(self.settings, objective.passes), len(unseen))
        rows = torch.arange(n) * len(unseen) // n  # from all over: sets are often sorted by class
        batch = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in unseen.get(rows).items()}
        return self.within_memory(lambda most: objective.held_out(batch, self.parts.recipe.seed, most)) or (None, {})

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Within it samples that are not finite are said to be, and end nothing: training may still mend them."""
        try:
            yield
        except NotFinite as problem:
            self.event("not drawn", str(problem))

    def stopped(self, number: int) -> None:
        """The report of what there is so far."""
        self.event("stopped", f"by signal {number}")
        if self.main:
            figures.report(self.run.path)

    def finish(self, evaluate: Callable[..., float | None]) -> None:
        """The last look, the final pictures, as many as a tenth of the run's time draws, and the report; raises Abandoned where a signal ends that."""
        state, model, began = self.state, self.parts.model, time.perf_counter()
        share = max(1.0, LOOKS * state.seconds)
        self.console.print(f"trained; drawing the last pictures, for about {duration(share)}")
        held_out = evaluate(share / 3)
        if not self.main:
            return
        self.bar.update(self.task, completed=1.0)
        self.bar.stop()
        count, speed = sum(p.numel() for p in model.parameters()), round(state.images / max(state.seconds, 1e-9), 1)
        found = {"parameters": count, "steps": state.step, "images": state.images, "seconds": round(state.seconds, 1)}
        self.run.write_json("summary.json", found | {"images_per_second": speed, "skipped": state.skipped, "held_out": held_out})
        with self.parts.ema.applied(self.parts.parameters), uncompiled():
            model.eval()
            if self.noted:
                raise Abandoned
            self.previews.finals(lambda part: part * share - (time.perf_counter() - began))
            model.train()
        if any((self.run.path / "samples").glob("step_*.png")):
            figures.progress(self.run.path)
        self.event("finished", "")
        done = f"done: {state.images:,} images ({self.settings.length}) in {state.step:,} steps and {state.seconds / 60:.1f} min"
        self.console.print(f"{done}; look at {figures.report(self.run.path)}")
