"""The gradient of a batch, in as many micro-batches as the memory calls for."""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..device import free_memory, out_of_memory
from ..diffusion import Level
from ..draws import Draws
from ..errors import Problem
from ..networks import set_dropout_keys
from .settings import TrainSettings


def stratified(draws: Draws) -> Tensor:
    """t ~ U(0, 1), one in each of as many equal parts as the batch has examples: it covers the schedule evenly (Kingma et al. 2021, app. I.1)."""
    return (draws.randperm().double() + draws.rand()) / draws.total


def noise(model: nn.Module, batch: Mapping[str, Any], draws: Draws, accelerator: Accelerator) -> Tensor:
    """What a batch is blended with; a source that matches it to the data sees the batch of all processes."""
    if not model.source.whole or accelerator.num_processes == 1:
        return model.draw_source(batch, draws)
    whole = Draws(draws.key, range(draws.total), draws.total)
    return model.draw_source({"x": accelerator.gather(batch["x"])}, whole)[draws.rows.start : draws.rows.stop]


def measured(model: nn.Module, settings: TrainSettings, batch: Mapping[str, Any], level: Level, eps: Tensor, draws: Draws) -> Tensor:
    """The loss (B,) as the settings measure it."""
    part = settings.parts["penalty"]
    penalty = part and (lambda a, b: settings.penalty_weight * part(a, b))
    return model(batch, level, eps, settings.parts["weight"], draws, distance=settings.parts["distance"], penalty=penalty)


@dataclass
class Gradient:
    """Leaves the gradient of a batch's mean loss in the parameters, clipped; the batch goes through the network in equal micro-batches.

    Where the memory does not hold one, the batch is cut finer, for good, and taken again. Every draw is a function of the example's place in
    the whole batch, so the mean, and with it the run, stays the same.
    """

    accelerator: Accelerator
    trained: nn.Module
    parameters: list[Tensor]
    settings: TrainSettings
    micro_batches: int

    def __call__(self, level: Level, batch: Mapping[str, Any], eps: Tensor, draws: Draws) -> tuple[Tensor, float]:
        """(the loss, over all processes; the gradient's norm before clipping)."""
        dtype = torch.float32 if eps.device.type == "mps" else torch.float64  # MPS has no float64
        level = Level(level.alpha.to(eps.device, dtype), level.sigma.to(eps.device, dtype))
        while True:
            try:
                value = self._summed(level, batch, eps, draws)
                break
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
            self._finer(len(eps))
        norm = float(torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None]))
        if norm > self.settings.clip:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.settings.clip, torch.tensor(norm, device=eps.device))
        return value, norm

    def _summed(self, level: Level, batch: Mapping[str, Any], eps: Tensor, draws: Draws) -> Tensor:
        total, size = torch.zeros((), device=eps.device), len(eps) // self.micro_batches
        for first in range(0, len(eps), size):
            rows = slice(first, first + size)
            part, own = {key: value[rows] for key, value in batch.items()}, draws.part(rows)
            set_dropout_keys(self.trained, own.of("dropout"))
            with nullcontext() if first + size == len(eps) else self.accelerator.no_sync(self.trained):
                values = measured(self.trained, self.settings, part, Level(level.alpha[rows], level.sigma[rows]), eps[rows], own)
                value = values.mean() / self.micro_batches
                self.accelerator.backward(value)
            total += value.detach()
        return self.accelerator.reduce(total, "mean")

    def _finer(self, n: int) -> None:
        parts = self.micro_batches
        if self.accelerator.num_processes > 1:
            raise Problem(f"the memory does not hold {n // parts} examples; set train.accumulate above {parts}")
        if parts == n:
            raise Problem("the memory does not hold a single example; set train.recompute=true, or choose a smaller network")
        self.micro_batches = next(more for more in range(2 * parts, n + 1) if n % more == 0) if 2 * parts <= n else n
        for parameter in self.parameters:
            parameter.grad = None
        free_memory()


def diagnosis(batch: Mapping[str, Any], value: Tensor, norm: float) -> str:
    """One line on why a step was not finite."""
    if not bool(torch.isfinite(batch["x"]).all()):
        return "the data holds NaN or infinite values; look at it with `fromnoise data inspect`"
    what = f"the gradient's norm is {norm}" if math.isfinite(float(value)) else f"the loss is {float(value)}"
    return f"{what}; a lower train.lr, or train.precision=fp32, may help"
