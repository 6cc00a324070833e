"""Adapters: a trained network is left as it is, and small changes to its weights are learnt."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from ..errors import Usage, at_least

Kind = TypeVar("Kind", bound=nn.Module)


class Adapted(nn.Module):
    """A layer whose weight is W + change(W), W keeping its name in the state_dict: the weight is changed, not the output, so merged it is the same."""

    change: nn.Module  # forward(weight) -> like weight, zero at first

    @property
    def own(self) -> Tensor:
        return cast(Tensor, self._parameters["weight"])

    def changed(self) -> Tensor:
        with torch.autocast(self.own.device.type, enabled=False):  # bfloat16 is for the layer, not for making its weight
            return self.change(self.own)

    @property
    def weight(self) -> Tensor:
        return self.own + self.changed()


@cache
def _adapted(kind: type[nn.Module]) -> type[nn.Module]:
    return type(f"Adapted{kind.__name__}", (Adapted, kind), {})


def changes(model: nn.Module) -> dict[str, Tensor]:
    """What is added to the model's weights, by their names."""
    return {f"{name}.weight": layer.changed() for name, layer in model.named_modules() if isinstance(layer, Adapted)}


@torch.no_grad()
def merge(model: Kind) -> Kind:
    """The model with its changes put into its weights, in place: the layers are plain ones again, with the same outputs."""
    for layer in [layer for layer in model.modules() if isinstance(layer, Adapted)]:
        layer.own.copy_(layer.weight)
        del layer.change
        layer.__class__ = type(layer).__bases__[1]
    return model


@dataclass(frozen=True, kw_only=True)
class Adapter(ABC):
    """How a trained model is adapted: what of it is learnt anew; all else is frozen.

    also     regular expressions: the parameters, by name, that are trained whole, such as "conditions" or "norm"
    """

    also: Sequence[str] = ()

    @abstractmethod
    def attach(self, model: Kind) -> Kind:
        """The model with as much of it to be trained, in place; raises Usage where a pattern finds nothing."""


class Frozen(Adapter):
    """Nothing of the base is changed: what it does not have is trained alone, such as temporal layers or a new condition."""

    def attach(self, model: Kind) -> Kind:
        free = {name: p for name, p in model.named_parameters() if p.requires_grad}
        whole = _found(self.also, free)
        for name, parameter in free.items():
            parameter.requires_grad_(name in whole)
        return model


@dataclass(frozen=True, kw_only=True)
class Changing(Adapter):
    """An adapter that changes the weights of layers.

    pattern  a regular expression: the linear layers and convolutions in whose names it is found (null: see `dense`)
    """

    pattern: str | None = None

    @abstractmethod
    def change(self, weight: Tensor) -> nn.Module:
        """A fresh change to a weight (out, in, *taps)."""

    def attach(self, model: Kind) -> Kind:
        """The model with changes to its weights that are zero as yet, in place."""
        free = {name: p for name, p in model.named_parameters() if p.requires_grad}
        whole = set(_found(self.also, free))
        layers = [name for name, layer in model.named_modules() if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))]
        weights = {name: free[f"{name}.weight"] for name in layers if f"{name}.weight" in free.keys() - whole}
        for name in dense(weights) if self.pattern is None else _found([self.pattern], weights):
            layer = model.get_submodule(name)
            layer.__class__, layer.change = _adapted(type(layer)), self.change(weights[name])
        for name, parameter in free.items():
            parameter.requires_grad_(name in whole)
        return model


def dense(weights: Mapping[str, Tensor]) -> list[str]:
    """The layers that LoRA was made for: linear ones and one-pixel convolutions, but no conditions'. With all, rank 8 is 15 % of `mnist`; with these, 2.9 %."""
    names = [name for name, weight in weights.items() if weight[0, 0].numel() == 1 and not name.startswith("conditions.")]
    if not names:
        raise Usage("adapter: this network has no linear layer; say which ones change by adapter.pattern")
    return names


def _found(patterns: Sequence[str], names: Iterable[str]) -> list[str]:
    """The names, in their order, in which a pattern is found; raises Usage where one is found in none."""
    found = set()
    for pattern in patterns:
        try:
            there = [name for name in names if re.search(pattern, name)]
        except re.error as error:
            raise Usage(f"adapter: {pattern!r} is no regular expression: {error}") from error
        if not there:
            raise Usage(f"adapter: {pattern!r} is found in no name; there are {', '.join(list(names)[:3])} …")
        found.update(there)
    return [name for name in names if name in found]


class LowRank(nn.Module):
    """A change of low rank, (alpha / rank) · B A, to a weight (out, in · taps); A normal, B zero at first. The rank is at most the weight's own."""

    def __init__(self, weight: Tensor, rank: int, alpha: float):
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        self.scale, rank = alpha / rank, min(rank, rows, columns)
        self.A = nn.Parameter(torch.randn(rank, columns, device=weight.device) / math.sqrt(columns))
        self.B = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        return self.scale * (self.B @ self.A).view(weight.shape)


class Redirected(LowRank):
    """A change of low rank to a weight's direction, and one to its magnitude m: W' = m · (W + s B A) / ‖W + s B A‖ (Liu et al. 2024, eq. 5).

    The norms are over what one channel out is made of. m starts as ‖W‖ and is kept as the difference from it, `longer` (out,). Going back, the
    norm below the line counts as a constant, as they advise (sec. 4.3).
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float):
        super().__init__(weight, rank, alpha)
        self.longer = nn.Parameter(torch.zeros(len(weight), device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        turned = weight + super().forward(weight)
        before, now = (torch.linalg.vector_norm(w.flatten(1), dim=1).clamp_min(1e-12) for w in (weight, turned))  # (out,)
        return ((before + self.longer) / now.detach()).view(-1, *[1] * (weight.ndim - 1)) * turned - weight


@dataclass(frozen=True, kw_only=True)
class LoRA(Changing):
    """LoRA (Hu et al. 2022): weights change by (alpha / rank) · B A, two thin matrices of this rank; alpha over rank sets how fast, whatever the rank."""

    rank: int = 8
    alpha: float = 8.0

    def __post_init__(self) -> None:
        at_least(1, "adapter", rank=self.rank)
        if not 0 < self.alpha < math.inf:
            raise Usage(f"adapter: alpha is above 0, not {self.alpha:g}")

    def change(self, weight: Tensor) -> LowRank:
        return LowRank(weight, self.rank, self.alpha)


class DoRA(LoRA):
    """DoRA (Liu et al. 2024): LoRA for the weights' directions, and a number for each channel out for their magnitudes."""

    def change(self, weight: Tensor) -> LowRank:
        return Redirected(weight, self.rank, self.alpha)
