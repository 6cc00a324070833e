"""The gradient of a batch, in as many passes as the memory allows."""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ..device import out_of_memory
from ..diffusion import PENALTIES, WEIGHTS, Level
from ..errors import Problem

if TYPE_CHECKING:
    from .loop import Train


def measured(model: torch.nn.Module, plan: "Train", batch: Mapping[str, Any], level: Level, eps: Tensor, pick: torch.Generator) -> Tensor:
    """The loss (B,) as the run measures it."""
    penalty = plan.penalty and (lambda a, b: plan.penalty_weight * PENALTIES[plan.penalty](a, b))
    return model(batch, level, eps, WEIGHTS[plan.weight], pick, distance=plan.distance, penalty=penalty)


@dataclass
class Gradient:
    """Leaves the gradient of a batch's mean loss in the parameters, clipped; the batch goes through the network in `passes` equal parts.

    Where the memory does not hold a part, the batch is cut finer, for good, and taken again: the mean, and so the run, stays the same.
    """

    accelerator: Accelerator
    trained: torch.nn.Module
    parameters: list[Tensor]
    plan: "Train"
    passes: int

    def __call__(
        self, level: Level, batch: Mapping[str, Any], eps: Tensor, pick: torch.Generator, begin: Callable[[], None]
    ) -> tuple[Tensor, float]:
        """(the loss, the gradient's norm before clipping). `begin` sets the random generators, and is called before every attempt."""
        dtype = torch.float32 if eps.device.type == "mps" else torch.float64  # MPS has no float64
        level = Level(level.alpha.to(eps.device, dtype), level.sigma.to(eps.device, dtype))
        while True:
            begin()
            try:
                value = self._passes(level, batch, eps, pick)
                break
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
            self._finer(len(eps))
        norm = float(torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None]))
        if norm > self.plan.clip:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.plan.clip, torch.tensor(norm, device=eps.device))
        return value, norm

    def _passes(self, level: Level, batch: Mapping[str, Any], eps: Tensor, pick: torch.Generator) -> Tensor:
        total, size = torch.zeros((), device=eps.device), len(eps) // self.passes
        for first in range(0, len(eps), size):
            rows = slice(first, first + size)
            part = {key: value[rows] for key, value in batch.items()}
            last = first + size == len(eps)
            with nullcontext() if last else self.accelerator.no_sync(self.trained):
                values = measured(self.trained, self.plan, part, Level(level.alpha[rows], level.sigma[rows]), eps[rows], pick)
                value = values.mean() / self.passes
                self.accelerator.backward(value)
            total += value.detach()
        return total

    def _finer(self, n: int) -> None:
        if self.accelerator.num_processes > 1:
            raise Problem(f"the memory does not hold {n // self.passes} examples; set train.accumulate above {self.passes}")
        if self.passes == n:
            raise Problem("the memory does not hold a single example; set train.recompute=true, or choose a smaller network")
        self.passes = next(parts for parts in range(2 * self.passes, n + 1) if n % parts == 0) if 2 * self.passes <= n else n
        for parameter in self.parameters:
            parameter.grad = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def diagnosis(batch: Mapping[str, Any], value: Tensor, norm: float) -> str:
    """One line on why a step was not finite."""
    x = batch["x"]
    if not bool(torch.isfinite(x).all()):
        return "the data holds NaN or infinite values; look at it with `fromnoise data inspect`"
    if not math.isfinite(float(value)):
        return f"the loss is {float(value)}; a lower train.lr, or train.precision=fp32, may help"
    return f"the gradient's norm is {norm}; a lower train.lr, or train.precision=fp32, may help"
