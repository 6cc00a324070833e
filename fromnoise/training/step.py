"""The gradient of a batch, in as many micro-batches as the memory calls for."""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..device import free_memory, out_of_memory
from ..draws import Draws
from ..errors import Problem
from ..networks import set_dropout_keys
from .settings import Settings


@dataclass
class Gradient:
    """Leaves the gradient of a batch's mean loss in the parameters, clipped; the batch goes through the network in equal micro-batches.

    Where the memory does not hold one, the batch is cut finer, for good, and taken again. Every draw is a function of the example's place in
    the whole batch, so the mean, and with it the run, stays the same.
    """

    accelerator: Accelerator
    trained: nn.Module
    parameters: list[Tensor]
    settings: Settings
    loss: Callable[[nn.Module, Mapping[str, Any], Draws], Tensor]  # (the model, a part of a batch, its draws) -> (B,)
    micro_batches: int

    def __call__(self, batch: Mapping[str, Any], draws: Draws) -> tuple[Tensor, float]:
        """(the loss, over all processes; the gradient's norm before clipping)."""
        while True:
            try:
                value = self._summed(batch, draws)
                break
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
            self._finer(len(draws.rows))
        norm = float(torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None]))
        if norm > self.settings.clip:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.settings.clip, torch.tensor(norm, device=value.device))
        return value, norm

    def _summed(self, batch: Mapping[str, Any], draws: Draws) -> Tensor:
        n = len(draws.rows)
        total, size = torch.zeros((), device=self.accelerator.device), n // self.micro_batches
        for first in range(0, n, size):
            rows = slice(first, first + size)
            part, own = {key: value[rows] for key, value in batch.items()}, draws.part(rows)
            set_dropout_keys(self.trained, own.of("dropout"))
            with nullcontext() if first + size == n else self.accelerator.no_sync(self.trained):
                value = self.loss(self.trained, part, own).mean() / self.micro_batches
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
