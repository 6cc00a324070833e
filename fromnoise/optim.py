"""Optimizers, and the learning rate over a run."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class ScheduleFreeAdamW(torch.optim.Optimizer):
    """Schedule-free AdamW (Defazio et al. 2024): gradients are taken at y, between the iterates z and their average x.

    y = (1 - beta1) z + beta1 x;  z <- z - rate · grad(y) / sqrt(v);  x <- x + c (z - x), c = rate² / sum of rate². The parameters hold y.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "step": 0, "weight_sum": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            group["step"] += 1
            rate = group["lr"]
            group["weight_sum"] += rate**2
            share = rate**2 / group["weight_sum"] if group["weight_sum"] else 0.0
            correction = 1 - beta2 ** group["step"]
            for y in group["params"]:
                if y.grad is None:
                    continue
                state = self.state[y]
                if not state:
                    state["z"], state["v"] = y.clone(), torch.zeros_like(y)
                z, v = state["z"], state["v"]
                v.mul_(beta2).addcmul_(y.grad, y.grad, value=1 - beta2)
                update = y.grad / (v / correction).sqrt().add_(group["eps"])
                update.add_(y, alpha=group["weight_decay"])
                x = (y - (1 - beta1) * z) / beta1
                z.sub_(update, alpha=rate)
                x.lerp_(z, share)
                y.copy_(torch.lerp(z, x, beta1))


def adamw(params: Iterable[Tensor], lr: float, betas: tuple[float, float], weight_decay: float) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019)."""
    params = list(params)
    return torch.optim.AdamW(params, lr, betas, weight_decay=weight_decay, fused=_fused(params))


def adam(params: Iterable[Tensor], lr: float, betas: tuple[float, float], weight_decay: float) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015)."""
    params = list(params)
    return torch.optim.Adam(params, lr, betas, weight_decay=weight_decay, fused=_fused(params))


def schedule_free(params: Iterable[Tensor], lr: float, betas: tuple[float, float], weight_decay: float) -> torch.optim.Optimizer:
    """Schedule-free AdamW (Defazio et al. 2024)."""
    return ScheduleFreeAdamW(params, lr, betas, weight_decay=weight_decay)


def _fused(params: list[Tensor]) -> bool:
    return bool(params) and params[0].device.type in ("cuda", "cpu")


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": adamw, "adam": adam, "schedule_free": schedule_free}

# The learning rate as a share of its peak, by how much of the run is done (0 to 1).
RATES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * min(done, 1.0))) / 2,
    "linear": lambda done: 1 - min(done, 1.0),
    "plateau": lambda done: 1.0,  # falls by Plateau alone
}


class Plateau:
    """Lowers a factor when a figure has not improved for `patience` looks."""

    def __init__(self, patience: int = 5, by: float = 0.5, least: float = 1e-3):
        self.patience, self.by, self.least = patience, by, least
        self.best, self.waited, self.factor = math.inf, 0, 1.0

    def look(self, value: float) -> None:
        self.waited = 0 if value < self.best else self.waited + 1
        self.best = min(self.best, value)
        if self.waited >= self.patience:
            self.waited, self.factor = 0, max(self.least, self.factor * self.by)

    def state(self) -> dict[str, float]:
        return {"best": self.best, "waited": self.waited, "factor": self.factor}

    def restore(self, state: dict[str, float]) -> None:
        self.best, self.waited, self.factor = state["best"], int(state["waited"]), state["factor"]
