"""A map of weights: which of theirs make one of ours, and back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from ..errors import Problem


def _copies(tensor: Tensor, n: int) -> Sequence[Tensor]:
    return [tensor.clone() for _ in range(n)]  # safetensors refuses tensors that share memory


@dataclass(frozen=True)
class Row:
    """One tensor of ours and those of theirs that it is made of: ours = join(theirs), theirs = split(ours, how many)."""

    ours: str
    theirs: tuple[str, ...]
    join: Callable[[Sequence[Tensor]], Tensor] = itemgetter(0)
    split: Callable[[Tensor, int], Sequence[Tensor]] = _copies


def exportable(node: Mapping[str, Any], fixed: Mapping[str, Any], theirs: str) -> None:
    """Raises Problem where our network has a setting that is not what diffusers' has."""
    for key, only in fixed.items():
        if node.get(key, only) != only:
            raise Problem(f"diffusers' {theirs} has no {key}={node[key]}; only networks with {key}={only} can be exported")


def layer(ours: str, *theirs: str, bias: bool = True) -> list[Row]:
    """The weight and bias of a layer of ours that is one of theirs, or several laid one after the other (q, k and v)."""
    join, split = (torch.cat, torch.chunk) if len(theirs) > 1 else (itemgetter(0), _copies)
    names = ("weight", "bias") if bias else ("weight",)
    return [Row(f"{ours}.{name}", tuple(f"{their}.{name}" for their in theirs), join, split) for name in names]


def shared(ours: str, theirs: Sequence[str]) -> Row:
    """A tensor that we have once and they in copies, which must be alike."""

    def same(parts: Sequence[Tensor]) -> Tensor:
        if any(not torch.equal(part, parts[0]) for part in parts[1:]):
            raise Problem(f"{theirs[0]} and {theirs[1]} differ, and fromnoise keeps one for all blocks; such a model cannot be taken over")
        return parts[0]

    return Row(ours, tuple(theirs), same, _copies)


def remade(row: Row, there: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]) -> Row:
    """The row with ours = there(theirs) and theirs = back(ours), such as another order of channels."""
    return replace(row, join=lambda parts: there(row.join(parts)), split=lambda tensor, n: row.split(back(tensor), n))


def of_network(rows: Sequence[Row]) -> list[Row]:
    """The rows of a network's weights, under their names in a run."""
    return [replace(row, ours=f"denoiser.network.{row.ours}") for row in rows]


def to_ours(rows: Sequence[Row], theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors from theirs; raises Problem where one is missing, or one would be left over."""
    wanted = {name for row in rows for name in row.theirs}
    if missing := sorted(wanted - set(theirs)):
        raise Problem(f"the weights lack {', '.join(missing[:3])}; the file and its config.json do not belong together")
    if extra := sorted(set(theirs) - wanted):
        raise Problem(f"the weights hold {', '.join(extra[:3])}, which config.json does not account for; they do not belong together")
    return {row.ours: row.join([theirs[name] for name in row.theirs]).contiguous() for row in rows}


def to_theirs(rows: Sequence[Row], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors from ours; raises Problem where one of ours has no place there."""
    if extra := sorted(set(ours) - {row.ours for row in rows}):
        raise Problem(f"diffusers' network has no place for {', '.join(extra[:3])} of this run; it cannot be exported")
    named = {}
    for row in rows:
        named |= {name: x.contiguous() for name, x in zip(row.theirs, row.split(ours[row.ours], len(row.theirs)), strict=True)}
    return named
