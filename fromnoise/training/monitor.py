"""What is seen of a run while it goes on: the log, the progress line, the held-out loss, the grids."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from ..data import Dataset
from ..diffusion import Seeded
from ..errors import Problem
from ..model import Model
from ..runs.folder import Run
from .ema import EMA

if TYPE_CHECKING:
    from .checkpoint import State
    from .loop import Train

TIMES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)  # where on the schedule the held-out loss is taken
SHARE = 0.03  # of a run's time, at most, goes into looking at it where the run is measured in minutes
CLOUD = 1000  # points in a picture


class Watch:
    """Logs every `log_every` steps; a look takes the averaged weights' held-out loss, at fixed noise and levels, and draws a grid from fixed noise."""

    def __init__(
        self,
        run: Run,
        model: Model,
        ema: EMA,
        parameters: Sequence[Tensor],
        unseen: Dataset | None,
        plan: "Train",
        seed: int,
        quiet: bool,
        main: bool,
    ):
        self.run, self.model, self.ema, self.parameters, self.plan, self.main = run, model, ema, parameters, plan, main
        self.seed, self.quiet, self.unseen = seed, quiet or not main, unseen
        self.total, self.counted, self.smooth, self.looking, self.looked = 0.0, 0, None, 0.0, 0.0
        self.since: tuple[float, int] = (0.0, 0)
        self.spoke = time.perf_counter()
        self.console = Console(stderr=True, quiet=self.quiet)
        self.live = self.console.is_terminal and not self.quiet
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=self.console, disable=not self.live)
        self.trackers = _tracker(plan.tracker, run, main)

    def open(self, state: "State", model: Model, data: Dataset) -> None:
        """Says what begins, or goes on."""
        count, trained = (sum(p.numel() for p in those) for those in (model.parameters(), self.parameters))
        share = f" ({trained:,} of them, {trained / count:.1%}, trained)" if trained < count else ""
        self.console.print(
            f"[bold]{self.run.path}[/]: {len(data):,} examples of {data.name} {data.shape}, {count:,} parameters{share}, on {model.device}"
            f" in {'bf16' if model.denoiser.autocast else 'fp32'}"
        )
        self.since = (state.seconds, state.images)
        self.looked = self.plan.done(state.step, state.seconds)
        self.event(state, "resumed" if state.step else "started", f"from step {state.step}" if state.step else "")
        if state.step:
            finished = self.plan.done(state.step, state.seconds) >= 1
            self.console.print(
                f"finished at step {state.step:,} already; a larger train.steps or train.minutes goes on" if finished
                else f"resumed from step {state.step:,}"
            )  # fmt: skip
        self.task = self.bar.add_task("", total=1.0, completed=self.looked)
        self.bar.start()

    def close(self) -> None:
        self.bar.stop()
        for tracker in self.trackers:
            tracker.close()

    def event(self, state: "State", event: str, why: str) -> None:
        """Something that happened, in the log; and on the screen where it matters."""
        if self.main:
            self.run.log(step=state.step, images=state.images, seconds=round(state.seconds, 3), event=event, why=why)
            if event in ("skipped", "rolled back"):
                self.console.print(f"step {state.step:,} {event}: {why}", style="yellow")

    def step(self, state: "State", value: Tensor, norm: float, rate: float, done: float) -> None:
        """Takes in a step's loss; now and then writes a line."""
        self.total, self.counted = self.total + value, self.counted + 1
        if state.step % self.plan.log_every and done < 1 and state.step > 1:
            return
        loss = float(self.total) / self.counted
        self.total, self.counted = 0.0, 0
        self.smooth = loss if self.smooth is None else 0.9 * self.smooth + 0.1 * loss
        seconds, images = state.seconds - self.since[0], state.images - self.since[1]
        speed = images / seconds if seconds > 0 else 0.0
        self.since = (state.seconds, state.images)
        self._log(state, loss=loss, loss_ema=self.smooth, lr=rate, norm=norm, images_per_second=round(speed, 1))
        line = f"step {state.step:,}  loss {self.smooth:.4f}  {speed:,.0f} images/s"
        self.bar.update(self.task, completed=done, description=line)
        if not self.live:
            if time.perf_counter() - self.spoke > 10 or state.step == 1:
                self.spoke = time.perf_counter()
                left = state.seconds * (1 - done) / done if done else 0.0
                self.console.print(f"{line}  {done:.0%}, {left / 60:.1f} min left")

    def _log(self, state: "State", **figures: Any) -> None:
        if not self.main:
            return
        self.run.log(step=state.step, images=state.images, seconds=round(state.seconds, 3), **figures)
        for tracker in self.trackers:
            tracker.add({key: value for key, value in figures.items() if isinstance(value, (int, float))}, state.step)

    def due(self, state: "State", done: float) -> bool:
        """Whether it is time for a look: `looks` times in the run, the last at its end; rarer where looking would cost a short run too much."""
        if not self.plan.looks or int(done * self.plan.looks) <= int(self.looked * self.plan.looks):
            return False
        if self.plan.minutes and done < 1 and self.looking > SHARE * state.seconds:
            return False
        self.looked = done
        return done < 1  # the end has a look of its own

    @torch.no_grad()
    def look(self, state: "State") -> float | None:
        """The held-out loss, logged as a whole and by level, None where no examples are held out; and a grid, drawn."""
        began = time.perf_counter()
        with self.ema.applied(self.parameters):
            self.model.eval()
            by_level = self.held_out()
            mean = sum(by_level.values()) / len(by_level) if by_level else None
            if by_level:
                self._log(state, held_out=mean, held_out_by_level=by_level)
            if self.main:
                self.draw(self.run.path / "samples" / f"step_{state.step:08d}.png", rows=4)
            self.model.train()
        self.looking += time.perf_counter() - began
        self.since = (self.since[0] + time.perf_counter() - began, self.since[1])
        return mean

    def held_out(self) -> dict[str, float]:
        """The loss on examples that are never trained on, at each of `TIMES`; {t: loss}."""
        if self.unseen is None:
            return {}
        n = min(self.plan.held_out, len(self.unseen))
        from .step import measured

        batch = {
            key: value.to(self.model.device) if isinstance(value, Tensor) else value
            for key, value in self.unseen.get(
                torch.arange(n) * len(self.unseen) // n
            ).items()  # from all over: sets are often sorted by class
        }
        eps = Seeded(self.seed, range(n))(batch["x"])
        losses = {}
        for t in TIMES:
            level = self.model.noise(torch.full((n,), t, dtype=torch.float64))
            values = measured(self.model, self.plan, batch, level, eps, torch.Generator().manual_seed(self.seed))
            losses[f"{t:g}"] = float(values.mean())
        return losses

    def draw(self, path: Path, rows: int) -> None:
        """A picture of samples from fixed noise: a column a class where there are some, else a square; a cloud of points.

        A model that is told pictures has a row of those above every row of samples.
        """
        from ..figures import alternating, grid, pictured, write

        told = self.model.asked(rows * rows, {})
        pictures = pictured(self.model, told)
        if pictures is not None:
            write(alternating(pictures, self.model.sample(rows * rows, seed=self.seed, **told).cpu().float(), 2 * rows), path)
            return
        classes = len(self.model.classes) if "label" in self.model.conditions else 0
        columns = classes if 0 < classes <= 16 else 2 * rows
        cloud = len(self.model.shape) == 1
        samples = self.model.sample(CLOUD if cloud else rows * columns, seed=self.seed).cpu().float()
        write(grid(samples, columns=None if cloud else columns), path)

    def stopped(self, state: "State", number: int) -> None:
        """The report of what there is so far."""
        self.event(state, "stopped", f"by signal {number}")
        if self.main:
            from ..figures import report

            report(self.run.path)

    def finish(self, state: "State", held_out: float | None) -> None:
        """The final pictures and the report."""
        if not self.main:
            return
        self.bar.update(self.task, completed=1.0)
        self.bar.stop()
        self.run.write_json(
            "summary.json",
            {
                "parameters": sum(p.numel() for p in self.model.parameters()),
                "steps": state.step,
                "images": state.images,
                "seconds": round(state.seconds, 1),
                "images_per_second": round(state.images / max(state.seconds, 1e-9), 1),
                "skipped": state.skipped,
                "held_out": held_out,
            },
        )
        from ..figures import progress, report, reverse_gif

        with self.ema.applied(self.parameters):
            self.model.eval()
            self.draw(self.run.path / "samples" / "final.png", rows=8)
            reverse_gif(self.model, self.run.path / "samples" / "reverse.gif", seed=self.seed)
            self.model.train()
        if self.plan.looks:
            progress(self.run.path)
        self.event(state, "finished", "")
        page = report(self.run.path)
        self.console.print(f"done: {state.step:,} steps, {state.images:,} images in {state.seconds / 60:.1f} min; look at {page}")


class _TensorBoard:
    def __init__(self, run: Run):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise Problem('train.tracker=tensorboard needs TensorBoard; run pip install "fromnoise[tensorboard]"') from error
        self.writer = SummaryWriter(str(run.path / "tensorboard"))

    def add(self, figures: Mapping[str, float], step: int) -> None:
        for key, value in figures.items():
            self.writer.add_scalar(key, value, step)

    def close(self) -> None:
        self.writer.close()


class _WandB:
    def __init__(self, run: Run):
        try:
            import wandb
        except ImportError as error:
            raise Problem('train.tracker=wandb needs Weights & Biases; run pip install "fromnoise[wandb]"') from error
        self.run = wandb.init(
            project="fromnoise", name=run.path.name, dir=str(run.path), config=run.config(), resume="allow", id=run.path.name
        )

    def add(self, figures: Mapping[str, float], step: int) -> None:
        self.run.log(dict(figures), step=step)

    def close(self) -> None:
        self.run.finish()


TRACKERS = {"none": None, "tensorboard": _TensorBoard, "wandb": _WandB}


def _tracker(name: str, run: Run, main: bool) -> list[Any]:
    kind = TRACKERS[name]
    return [kind(run)] if kind and main else []
