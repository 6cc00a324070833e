"""What a network predicts: a second blend F = a * x0 + b * eps beside x = alpha * x0 + sigma * eps.

Two equations for two unknowns: one 2x2 solve turns any prediction into the pair (x0, eps), so n types cost n rows, not n² converters.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import Usage
from ..registry import lookup
from .level import Level

HIGH = 0.99  # where a schedule ends for a prediction that says nothing at its very end
Row = Callable[[Level, float], tuple[Tensor, Tensor]]  # (level, data_std) -> (a, b)


def x0(level: Level, data_std: float) -> tuple[Tensor, Tensor]:
    """The clean data: F = x0."""
    return torch.ones_like(level.alpha), torch.zeros_like(level.alpha)


def eps(level: Level, data_std: float) -> tuple[Tensor, Tensor]:
    """The noise: F = eps (Ho et al. 2020)."""
    return torch.zeros_like(level.alpha), torch.ones_like(level.alpha)


def velocity(level: Level, data_std: float) -> tuple[Tensor, Tensor]:
    """The flow from data to noise: F = eps - x0 (Liu et al. 2022; Lipman et al. 2023)."""
    return -torch.ones_like(level.alpha), torch.ones_like(level.alpha)


def iadb(level: Level, data_std: float) -> tuple[Tensor, Tensor]:
    """The alpha-blending direction from noise to data: F = x0 - eps (Heitz et al. 2023)."""
    return torch.ones_like(level.alpha), -torch.ones_like(level.alpha)


def v(level: Level, data_std: float) -> tuple[Tensor, Tensor]:
    """The direction along the circle: F = (alpha eps - sigma x0) / hypot(alpha, sigma) (Salimans & Ho 2022)."""
    radius = torch.hypot(level.alpha, level.sigma)
    return -level.sigma / radius, level.alpha / radius


def edm(level: Level, data_std: float) -> tuple[Tensor, Tensor]:
    """EDM's unit-variance target, v for data of any spread: F = (sigma x0 / s - alpha s eps) / hypot(alpha s, sigma) (Karras et al. 2022, table 1)."""
    radius = torch.hypot(level.alpha * data_std, level.sigma)
    return level.sigma / (data_std * radius), -level.alpha * data_std / radius


PREDICT: dict[str, Row] = {"x0": x0, "eps": eps, "velocity": velocity, "iadb": iadb, "v": v, "edm": edm}


def row_of(kind: str | Row) -> Row:
    """The row that a name stands for, of `PREDICT` or `module:name`, or the row itself."""
    return lookup(PREDICT, kind, "prediction type")


def target(kind: str | Row, level: Level, x0: Tensor, eps: Tensor, data_std: float = 1.0) -> Tensor:
    """F = a x0 + b eps, what the network should predict; x0, eps (B, C, *S)."""
    return Level(*row_of(kind)(level, data_std)).mix(x0, eps)


def solve(kind: str | Row, level: Level, x: Tensor, F: Tensor, data_std: float = 1.0) -> tuple[Tensor, Tensor]:
    """(x0, eps) from x = alpha x0 + sigma eps and F = a x0 + b eps; x, F (B, C, *S)."""
    a, b = row_of(kind)(level, data_std)
    det = level.alpha * b - level.sigma * a  # in float64, before it meets x
    unmixed = Level(b / det, -level.sigma / det), Level(-a / det, level.alpha / det)
    return unmixed[0].mix(x, F), unmixed[1].mix(x, F)


def c_out(kind: str | Row, level: Level, data_std: float = 1.0) -> Tensor:
    """-sigma / det: by how much an error in F becomes one in x0."""
    a, b = row_of(kind)(level, data_std)
    return -level.sigma / (level.alpha * b - level.sigma * a)


def blind(kind: str | Row, level: Level) -> bool:
    """Whether a prediction says nothing about x0 at a level (det = 0); raises Usage where the prediction type is no row."""
    found, name = row_of(kind)(level, 1.0), getattr(kind, "__name__", kind)
    if not (isinstance(found, tuple) and [getattr(part, "shape", None) for part in found] == [level.alpha.shape] * 2):
        raise Usage(f"the prediction type {name} must give two tensors (a, b), each of the shape of level.alpha")
    (a, b), length = found, torch.hypot(level.alpha, level.sigma)
    return float((level.alpha * b - level.sigma * a).abs() / length) < 1e-6


def check(kind: str | Row, noisiest: Level) -> None:
    """Refuses a prediction type that is no row, or cannot give x0 at the noisiest level, with the cure."""
    if blind(kind, noisiest):
        name = getattr(kind, "__name__", kind)
        raise Usage(f"{name} says nothing about x0 at alpha = 0: set noise.high to {HIGH}, or predict v or velocity")
