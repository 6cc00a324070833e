"""Optimizers, and the learning rate over a run."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor

from ..config import Within
from ..device import precision

Betas = tuple[float, float]
Patience = Annotated[int, Within(1, 10**6)]
LEAST = 16  # rows and columns of a matrix that Muon takes


class ScheduleFreeAdamW(torch.optim.Optimizer):
    """Schedule-free AdamW (Defazio et al. 2024): gradients are taken at y, between the iterates z and their average x.

    y = (1 - beta1) z + beta1 x;  z <- z - rate · grad(y) / sqrt(v);  x <- x + c (z - x), c = rate² / sum of rate². The parameters hold y, from
    `eval()` to `train()` x, which is what the model is: the names of the authors' own package, whose optimizers can be named here as well.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "step": 0, "weight_sum": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            rate, (beta1, beta2) = group["lr"], group["betas"]
            group["step"] += 1
            group["weight_sum"] += rate**2
            share = rate**2 / group["weight_sum"] if group["weight_sum"] else 0.0
            correction = 1 - beta2 ** group["step"]
            for y in (p for p in group["params"] if p.grad is not None):
                state = self.state[y]
                if not state:
                    state["z"], state["v"] = y.clone(), torch.zeros_like(y)
                z, v = state["z"], state["v"]
                v.mul_(beta2).addcmul_(y.grad, y.grad, value=1 - beta2)
                update = y.grad / (v / correction).sqrt().add_(group["eps"])
                update.add_(y, alpha=group["weight_decay"])
                x = torch.lerp(z, y, 1 / beta1)
                z.sub_(update, alpha=rate)
                x.lerp_(z, share)
                y.copy_(torch.lerp(z, x, beta1))

    def eval(self) -> None:
        """Brings the parameters from y to x."""
        self._lerp(lambda beta1: 1 / beta1)

    def train(self) -> None:
        """Brings the parameters from x to y."""
        self._lerp(lambda beta1: beta1)

    @torch.no_grad()
    def _lerp(self, share: Callable[[float], float]) -> None:
        """p <- z + share (p - z)."""
        for group in self.param_groups:
            for p in (p for p in group["params"] if self.state.get(p)):
                p.copy_(torch.lerp(self.state[p]["z"], p, share(group["betas"][0])))


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024): a matrix's averaged gradient, its singular values made nearly equal, is its step; Adam steps for the rest.

    m <- momentum · m + grad;  W <- W - rate · 0.2 sqrt(max(rows, columns)) · orthogonal(grad + momentum · m). The factor gives steps the size of
    Adam's (Liu et al. 2025, eq. 4), so that one rate serves both. Convolutions are taken as matrices (out, in · taps). Vectors, and the layers that
    read or write few channels (fewer than `LEAST`), are Adam's, and so are tables of rows that are looked up (`lookup`).
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, betas: Betas = (0.9, 0.99), weight_decay: float = 0, momentum: float = 0.95):
        parts: dict[bool, list[Tensor]] = {True: [], False: []}
        for p in params:
            parts[p.ndim > 1 and min(len(p), p[0].numel()) >= LEAST and not getattr(p, "lookup", False)].append(p)
        groups = [{"params": part, "matrices": matrices} for matrices, part in parts.items() if part]
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "momentum": momentum, "eps": 1e-8, "step": 0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            group["step"] += 1
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            for p in weights:
                if not self.state[p]:
                    self.state[p] = {name: torch.zeros_like(p) for name in (("m",) if group["matrices"] else ("m", "v"))}
            (self._matrices if group["matrices"] else self._adam)(weights, group)

    def _matrices(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        grads, m = [p.grad for p in weights], [self.state[p]["m"] for p in weights]
        torch._foreach_mul_(m, group["momentum"])
        torch._foreach_add_(m, grads)
        torch._foreach_add_(grads, m, alpha=group["momentum"])
        alike: dict[tuple[int, int], list[int]] = {}
        for i, p in enumerate(weights):
            alike.setdefault((len(p), p[0].numel()), []).append(i)
        for (rows, columns), those in alike.items():
            steps = orthogonal(torch.stack([grads[i].flatten(1) for i in those]))
            rate = 0.2 * max(rows, columns) ** 0.5 * group["lr"]
            steps = [step.view_as(weights[i]) for i, step in zip(those, steps, strict=True)]
            torch._foreach_add_([weights[i] for i in those], steps, alpha=-rate)

    def _adam(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        grads, m, v = [p.grad for p in weights], [self.state[p]["m"] for p in weights], [self.state[p]["v"] for p in weights]
        torch._foreach_lerp_(m, grads, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, grads, grads, 1 - beta2)
        spread = torch._foreach_div(v, 1 - beta2 ** group["step"])
        torch._foreach_sqrt_(spread)
        torch._foreach_add_(spread, group["eps"])
        torch._foreach_addcdiv_(weights, m, spread, -group["lr"] / (1 - beta1 ** group["step"]))


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Matrices (N, rows, columns) with singular values brought to about 1 (0.7 to 1.2) by Newton-Schulz steps (Jordan et al. 2024), in bfloat16 where
    the hardware multiplies it: emulated, it takes ten times as long as float32.

    X <- a X + (b A + c A²) X, A = X Xᵀ, an odd polynomial of every singular value; (a, b, c) as published, chosen for speed.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = (x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)).to(precision(x.device) or torch.float32)
    for _ in range(steps):
        a = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.mT if tall else x).float()


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {  # called (params, lr=, betas=, weight_decay=)
    "adamw": partial(torch.optim.AdamW, fused=True), "adam": partial(torch.optim.Adam, fused=True), "schedule_free": ScheduleFreeAdamW,
    "muon": Muon}  # fmt: skip



def constant(done: float) -> float:
    """1: the peak, once it is reached."""
    return 1.0


def cosine(done: float) -> float:
    """(1 + cos(pi done)) / 2 (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    return (1 + math.cos(math.pi * min(done, 1.0))) / 2


def linear(done: float) -> float:
    """1 - done."""
    return 1 - min(done, 1.0)


def step(done: float, gamma: Annotated[float, Within(0, 1)] = 0.1, milestones: list[Annotated[float, Within(0, 1)]] = [0.5, 0.75]) -> float:  # noqa: B006
    """gamma to the number of milestones passed (He et al. 2016, section 4.2, has these).

    gamma  by how much the rate falls at each;  milestones  shares of the run
    """
    return gamma ** sum(done >= milestone for milestone in milestones)


@dataclass
class Plateau:
    """Lowers a factor when a figure has not improved for `patience` evaluations."""

    patience: int = 5
    by: float = 0.5
    least: float = 1e-3
    best: float = math.inf
    waited: int = 0
    factor: float = 1.0

    def update(self, value: float) -> None:
        self.waited = 0 if value < self.best else self.waited + 1
        self.best = min(self.best, value)
        if self.waited >= self.patience:
            self.waited, self.factor = 0, max(self.least, self.factor * self.by)


def plateau(done: float, patience: Patience = Plateau.patience, by: Annotated[float, Within(0, 1)] = Plateau.by,
            least: Annotated[float, Within(0, 1)] = Plateau.least) -> float:  # fmt: skip
    """1, and lower when the held-out loss has not fallen for a while.

    patience  evaluations without a lower one, until it is multiplied;  by  what;  least  share of the peak
    """
    return 1.0  # State has the factor, as it depends on more than the share of the run


# The learning rate as a share of its peak, by how much of the run is done (0 to 1).
RATES: dict[str, Callable[..., float]] = {"constant": constant, "cosine": cosine, "linear": linear, "step": step, "plateau": plateau}
