"""Control: a branch beside a trained network, which steers it by a hint."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import Usage, nearest
from ..networks import Branch
from ..networks.context import Context, ControlHint
from .condition import Condition
from .hints.hints import HINTS


class Control(Condition):
    """A hint such as edges, which a trainable branch adds to a network that stays as it is (ControlNet, Zhang et al. 2023); value (B, C', *S).

    Trained on a base (`base: runs/…`), alone. A hint of NaN asks nothing: for that sample the branch adds exactly nothing.

    hint      what is made of x, a name of `HINTS`; none takes the data's own `image`
    drop      the share of training examples that are asked nothing; they teach the branch nothing, so 0 but for a reason
    key       what the branch is called, when sampling as well: the hint's name unless it is said
    channels  of the data's image, where no hint is named: those of x unless they are said
    """

    ways = ("control",)
    alone = True
    guides = False

    def __init__(self, hint: str | None = None, drop: float = 0.0, key: str | None = None, channels: int | None = None):
        super().__init__(drop)
        if hint is not None and hint not in HINTS:
            raise Usage(f"no hint {hint!r}{nearest(hint, HINTS)}")
        self.hint, self.key, self.channels = hint, key or hint or "hint", channels
        if not self.key.isidentifier() or hasattr(nn.ModuleDict, self.key):
            raise Usage(f"a control's key is a plain word, such as edges, not {self.key!r}")
        if hint is not None and channels is not None:
            raise Usage(f"channels are of the data's image; the hint {hint} has its own, leave them out")

    def enters(self, network: str, ways: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        if "control" not in ways:
            raise Usage(f"{network} has no features that a control branch could add to; choose network unet, dit or uvit")
        return {}

    def width(self) -> int:
        """Channels of the hint."""
        return self.shape[0]

    def settle(self, dim: int, shape: Sequence[int]) -> None:
        channels = self.channels or shape[0]
        if self.hint is not None:
            channels = HINTS[self.hint](torch.zeros(1, *shape), None).shape[1]
        self.shape = (channels, *shape[1:])

    def join(self, network: nn.Module) -> None:
        """The branch begins as a copy of what the network has learnt."""
        self.branch = Branch(network, self.width(), len(self.shape) - 1)

    def networks(self) -> list[nn.Module]:
        return [self.branch]

    def read(self, batch: Mapping[str, Any], generator: torch.Generator | None = None) -> Tensor:
        if self.hint is not None:
            return HINTS[self.hint](batch["x"], generator or torch.Generator().manual_seed(0))
        if "image" not in batch:
            raise Usage(
                f"control {self.key} has no hint named, and the data no image: say which of {', '.join(HINTS)}, as in {{name: control, hint: edges}}"
            )
        return self._checked(batch["image"])

    def _checked(self, value: Tensor) -> Tensor:
        if tuple(value.shape[1:]) != self.shape:
            there, here = ("x".join(map(str, s)) for s in (value.shape[1:], self.shape))
            raise Usage(f"the hint {self.key} is {there} (channels first), this model's are {here}; bring it to that size")
        return value

    def values(self, value: Any, n: int) -> Tensor:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise Usage(f"a hint is a tensor of floats in [-1, 1], {self.shape} or one for each sample, not {str(value)[:40]!r}")
        value = value[None] if value.ndim == len(self.shape) else value
        if value.ndim != 1 + len(self.shape) or len(value) not in (1, n):
            raise Usage(f"{n} samples need one hint {self.key} {self.shape} or {n} of them, not {tuple(value.shape)}")
        return self._checked(value).expand(n, *self.shape)

    def default(self, n: int) -> Tensor:
        """What remembered examples ask; nothing where there are none."""
        return torch.full((n, *self.shape), torch.nan) if self.examples is None else super().default(n)

    def forward(self, value: Tensor) -> Context:
        value = value.to(next(self.branch.parameters()).device)
        asked = value.flatten(1).isfinite().all(1)
        return Context(hints={self.key: ControlHint(self.branch, value.nan_to_num(), asked.float())})

    def dropped(self, value: Tensor, chosen: Tensor) -> Tensor:
        return value.masked_fill(chosen.reshape(-1, *[1] * (value.ndim - 1)), torch.nan)

    def null(self, n: int) -> Context:
        return Context()
