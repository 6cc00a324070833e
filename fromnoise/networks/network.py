"""What every network is: the interface that conditions, control branches, adapters and the denoiser rely on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from ..errors import Usage
from .context import NOTHING, PLACES, Context


class Network(nn.Module, ABC):
    """A network: network(x (B, C, *S), t (B,), context) -> like x. It knows nothing of diffusion: t is a number that says how noisy x is.

    ways         how a condition can enter, by names of `PLACES`, and the settings that each calls for; `control` where a control branch can
    dim          width of the time embedding, and so of the context's vector
    context_dim  width of the context's tokens; 0 where it takes none

    patch        pixels a side that are folded into channels before the first layer (for control branches)
    width        channels after the first layer, where a hint is added (for control branches)
    """

    ways: ClassVar[Mapping[str, Mapping[str, Any]]] = {"add": {}}
    dim: int
    context_dim: int = 0
    patch: int
    width: int

    @classmethod
    def fitting(cls, shape: Sequence[int]) -> dict[str, int]:
        """The settings that examples of this shape, (C, *S), call for."""
        return {"channels": shape[0], "axes": len(shape) - 1}

    @abstractmethod
    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor: ...

    def accepted(self, context: Context | None) -> Context:
        """The context, an empty one for None; raises Usage where it holds what this network would overlook."""
        places = dict.fromkeys(PLACES.get(way, "residuals") for way in self.ways)
        return (context or NOTHING).only(
            *(place for place in places if place != "tokens" or self.context_dim), *(("mask",) if self.context_dim else ())
        )

    def embedding(self, t: Tensor, context: Context) -> Tensor:
        """The time embedding with the context's vector added; t (B,) -> (B, dim)."""
        emb = self.time_embedding(t)
        return emb if context.vector is None else emb + context.vector

    # What a control branch needs (ControlNet, Zhang et al. 2023)

    def encoder_copy(self) -> Self:
        """A copy of the network without what follows `encode`."""
        raise self._without_control()

    def zero_convs(self) -> list[nn.Module]:
        """A layer for each feature of `encode` through which a control branch adds to it, zero at first."""
        raise self._without_control()

    def encode(self, x: Tensor, t: Tensor, context: Context, hint: Tensor | None = None) -> tuple[list[Tensor], Any]:
        """(the features, with the context's residuals added; what the rest of the network needs).

        hint  (B, width, *S / patch), added to x after the first layer
        """
        raise self._without_control()

    def _without_control(self) -> Usage:
        return Usage(f"{type(self).__name__} has no features that a control branch could add to; choose network unet, dit or uvit")
