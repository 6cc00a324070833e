"""The repeated part of a network, whose activations can be dropped and computed a second time."""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    """A repeated part of a network; where `recompute` is set, training keeps only its inputs and computes the rest again on the way back (Chen et al. 2016)."""

    recompute = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(super().__call__, *args, use_reentrant=False, **kwargs)
        return super().__call__(*args, **kwargs)


def recompute(network: nn.Module, on: bool = True) -> int:
    """Sets every outermost `Block` of the network to be recomputed; how many there are."""
    if isinstance(network, Block):
        network.recompute = on
        return 1
    return sum(recompute(child, on) for child in network.children())
