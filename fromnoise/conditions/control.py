"""Control: a branch beside a trained network, which steers it by a hint."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import Usage
from ..networks import Branch, Network
from ..networks.context import Context, ControlHint
from .condition import Example
from .image import Picture


class Control(Picture):
    """A hint such as edges, which a trainable branch adds to a network that stays as it is (ControlNet, Zhang et al. 2023); value (B, C', *S).

    Only the branch is trained, on a base (`base: runs/…`). A hint of NaN is the null condition: for that sample the branch adds exactly nothing.

    hint  a name of `HINTS`, with its `options`, made of x; none takes the data's own second picture
    drop  the share of training examples whose hint is left out; they teach the branch nothing, so 0 but for a reason
    key   what the branch is called, when sampling as well: the hint's name unless it is said
    """

    ways = ("control",)
    freezes_rest = True
    guidable = False
    on_nan = 0.0

    def __init__(
        self, hint: str | Callable | None = None, options: Mapping[str, Any] | None = None, drop: float = 0.0, key: str | None = None
    ):
        self.key = key or (hint.rpartition(":")[2] if isinstance(hint, str) else getattr(hint, "__name__", "hint"))
        super().__init__(hint, options, drop)
        if not self.key.isidentifier() or hasattr(nn.ModuleDict, self.key):
            raise Usage(f"a control's key is a plain word, such as edges, not {self.key!r}")
        self.name, self.option = f"hint {self.key}", f"a hint comes from a file: --control {self.key}="

    def plan(self, network: type[Network], example: Example) -> dict[str, Any]:
        network.check_control()
        self.value_shape(example)
        return {}

    def init_layers(self, network: Network, example: Example) -> None:
        super().init_layers(network, example)
        self.factor = getattr(example.autoencoder, "factor", 1)
        self.attach(network)

    def attach(self, network: Network) -> None:
        """Makes the branch, which begins as a copy of what the network is now."""
        self.branch = Branch(network, self.shape[0], len(self.shape) - 1, self.factor)

    def networks(self) -> list[nn.Module]:
        return [self.branch]

    def default(self, n: int) -> Tensor:
        """The example values; the null condition where there are none."""
        return self.nothing(n) if self.example_values is None else super().default(n)

    def forward(self, value: Tensor) -> Context:
        value = value.to(next(self.branch.parameters()).device)
        return Context(hints={self.key: ControlHint(self.branch, value.nan_to_num(), value.flatten(1).isfinite().all(1).float())})

    def nothing(self, n: int) -> Tensor:
        return torch.tensor(torch.nan).expand(n, *self.shape)

    def null(self, n: int) -> Context:
        return Context()
