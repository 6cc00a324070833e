"""How much a network computes, counted without computing it."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..networks import NOTHING, Context, merge


def counted(call: Callable[[], Any]) -> float:
    """Floating-point operations of what `call` computes, multiplications and additions counted apart."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return float(counter.get_total_flops())


def flop(network: nn.Module, shape: Sequence[int], branches: Sequence[nn.Module] = (), context: Context = NOTHING) -> float:
    """Floating-point operations of one example (C, *S), under a context, going forward through a network and its control branches, on no device."""
    network = merge(copy.deepcopy(network))  # a change of weights is made once a pass, not for each example
    network, *branches = (part.to("meta") for part in (network, *(copy.deepcopy(branch) for branch in branches)))
    x, t = torch.empty(1, *shape, device="meta"), torch.empty(1, device="meta")
    context = Context(**{key: value.to("meta") for key, value in vars(context).items() if isinstance(value, torch.Tensor)})

    def call() -> None:
        network(x, t, context)
        for branch in branches:
            sides = [side * branch.patch // network.patch for side in shape[1:]]  # a hint is of pixels
            branch(x, t, context, torch.empty(1, branch.channels, *sides, device="meta"))

    return counted(call)
