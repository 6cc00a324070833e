"""The pictures that a run draws of itself while it goes on, and at its end: samples, or reconstructions."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .. import figures
from ..evaluation import latent_page
from ..model import FirstStage
from .state import FORWARD

STEP, LAST = 4, 8  # rows of a grid, and of the last one
KEPT = 16  # samples beside a grid, of a medium that is heard or read
FEW = 64  # held-out examples of the first page


class Samples:
    """Grids of samples from fixed noise, and a film of how they come to be; `monitor` is the run's `Monitor`."""

    def __init__(self, monitor: Any):
        self.monitor, self.model = monitor, monitor.parts.model
        self.cost, self.skipped = 0.0, False  # seconds that a sample took to draw; whether a grid was left out

    def first(self) -> None:
        """Before diffusion in latents begins: the page of them on a few held-out examples, and a line on what holds it back first."""
        stage, monitor = self.model.autoencoder, self.monitor
        if not isinstance(stage, FirstStage) or not stage.trained or monitor.parts.test is None:
            return
        trained, test = stage.trained().to(self.model.device), monitor.parts.test
        page = latent_page(trained, test, FEW)
        said = f"latents {self.model.latent_shape} of {stage.title}: {page.kept}; what holds diffusion back first: {page.bottleneck}"
        monitor.console.print(said, soft_wrap=True)
        figures.write(figures.latents(trained, test, page), monitor.run.path / "samples" / "latents.png")

    def drawable(self, seconds: float) -> int:
        """How many samples can be drawn in so many seconds: by the last ones, or else by the speed of training."""
        state, sampling = self.monitor.state, self.model.sampling
        calls = sampling.steps * (2 if sampling.guidance != 1 else 1)
        cost = self.cost or calls * (state.seconds - state.evaluating) / (FORWARD * max(1, state.images))
        return max(0, int(min(seconds / max(cost, 1e-9), 1e6)))

    def grid(self, path: Path, rows: int, seconds: float, least: int) -> int:
        """A picture of samples from fixed noise: a column a class, else a square, or a cloud of points; below pictures that they are conditioned on.

        So many rows as are drawn in `seconds`, `rows` at most and `least` at least; how many it were. The grids of a run have one size."""
        monitor, model, seed = self.monitor, self.model, self.monitor.parts.recipe.seed
        pictures = next(iter(figures.input_pictures(model, rows * rows, model.with_defaults(rows * rows, {})).values()), None)
        classes = len(model.classes) if "label" in model.conditions and pictures is None else 0
        columns = classes if 0 < classes <= figures.MOST else 2 * rows if pictures is None else rows
        whole = monitor.state.rows if rows == STEP and monitor.state.rows else rows
        rows = max(least, min(whole, self.drawable(seconds) // columns))
        if rows < whole and whole == monitor.state.rows and not least:
            rows = 0
        if not rows:
            if not self.skipped and path == monitor.grid:  # said once, and not in the log, which is the same on every machine
                monitor.console.print(f"step {monitor.state.step:,}: no grid yet; all of them together take at most a tenth of the run", style="yellow")
            self.skipped |= path == monitor.grid
            return 0
        n = 1000 if len(model.shape) == 1 else rows * columns
        conditions, began = model.with_defaults(n, {}), time.perf_counter()
        with monitor.drawing(), monitor.abandonable():
            drawn = monitor.within_memory(lambda most: model.sample(n, seed=seed, batch=min(most, model.sampling.batch), **conditions).cpu().float())
            if drawn is not None:
                self.cost = (time.perf_counter() - began) / n
                medium = model.medium
                if pictures is None:
                    figures.write(figures.samples(drawn, conditions, model.classes, columns, medium, model.units), path)
                else:
                    figures.write(figures.alternating(pictures[:n], drawn, 2 * columns, medium, model.units), path)
                if kept := figures.medium_of(model.shape, medium).kept:
                    some = {key: None if value is None else value[:KEPT] for key, value in conditions.items()}
                    figures.write_samples(drawn[:KEPT], path.with_suffix(kept), some, model.classes, monitor.parts.recipe)
        return rows

    def finals(self, left: Callable[[float], float]) -> None:
        """The last grid and the film; left(share) are the seconds until that share of the end's time is over."""
        monitor, model, folder = self.monitor, self.model, self.monitor.run.path / "samples"
        drawn = monitor.grid.is_file()
        if not self.grid(folder / "final.png", LAST, left(0.75), 0 if drawn else 1) and drawn:
            for ending in filter(None, (".png", figures.medium_of(model.shape, model.medium).kept)):
                shutil.copyfile(monitor.grid.with_suffix(ending), folder / f"final{ending}")  # there is no time for a larger one
        sampling, most = replace(model.sampling, seed=monitor.parts.recipe.seed), max(1, min(figures.fitting(model), self.drawable(left(1))))
        with monitor.drawing(), monitor.abandonable():
            monitor.within_memory(lambda within: figures.reverse_gif(model, folder / "reverse.gif", min(most, within), sampling=sampling))


class Reconstructions:
    """Grids of held-out pictures, their reconstructions and the difference, which is exaggerated."""

    def __init__(self, monitor: Any):
        self.monitor, self.model = monitor, monitor.parts.model

    def first(self) -> None:
        """Nothing: there is no picture before it has learnt something."""

    def grid(self, path: Path, rows: int, seconds: float, least: int) -> int:
        """The first held-out examples, or where there are none those of training; how many rows. It costs next to nothing, so it is always drawn."""
        data, columns = self.monitor.parts.test or self.monitor.parts.data, 2 * STEP
        if len(self.model.shape) < 2:
            return 0
        n = min(rows * columns, len(data))
        x = data.get(torch.arange(n) * len(data) // n)["x"].to(self.model.device)
        with self.monitor.abandonable():
            made = self.monitor.within_memory(lambda most: torch.cat([self.model.reconstruct(part).cpu() for part in x.split(most)]))
            if made is not None:
                figures.write(figures.reconstructions(x.cpu(), made, columns, self.model.medium), path)
        return rows

    def finals(self, left: Callable[[float], float]) -> None:
        """The last grid."""
        self.grid(self.monitor.run.path / "samples" / "final.png", LAST, left(1), 1)
