"""Low-rank changes of our weights as PEFT and diffusers name them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import Problem
from ..files import vacant
from .folder import PLACES, counterpart, write_weights
from .rows import to_theirs

FILE = "pytorch_lora_weights.safetensors"


def write_adapter(
    path: str | Path, config: Mapping[str, Any], node: Mapping[str, Any], tensors: Mapping[str, Tensor], changes: Mapping[str, Tensor]
) -> Path:
    """Writes changes to a run's weights, by our names, into a folder as `pytorch_lora_weights.safetensors`; that file.

    config, node, tensors: the run's settings, its network's, its weights without the changes. One layer of ours may be several of theirs, so
    each of theirs gets factors of its own: `unet.….lora_A.weight`, `unet.….lora_B.weight`, with B A the change, and alpha the rank.
    """
    path = vacant(path)
    part, theirs, _ = counterpart(config, node, tensors)
    rows = [row for row in part.rows(theirs) if row.ours in changes]
    if not rows:
        raise Problem("no change is to a weight that diffusers' model has; train the adapter on other layers to export it")
    named = {}
    for name, change in to_theirs(rows, changes).items():
        a, b = factors(change.detach())
        if len(a):
            layer = f"{PLACES[part.CLASS]}.{name.removesuffix('.weight')}"
            named |= {f"{layer}.lora_A.weight": a, f"{layer}.lora_B.weight": b}
    if not named:
        raise Problem("the adapter has not changed any weight yet; train it first")
    write_weights(path / FILE, named)
    return path / FILE


def factors(change: Tensor, least: float = 1e-5) -> tuple[Tensor, Tensor]:
    """A (rank, in, *taps) and B (out, rank, *1) with B A the change (out, in, *taps), by its singular values above `least` of the largest."""
    u, s, v = torch.linalg.svd(change.flatten(1).double(), full_matrices=False)
    rank, ones = int((s > least * s[0]).sum()), [1] * (change.ndim - 2)
    a, b = s[:rank, None].sqrt() * v[:rank], u[:, :rank] * s[:rank].sqrt()
    return a.float().view(rank, *change.shape[1:]), b.float().view(len(change), rank, *ones)
