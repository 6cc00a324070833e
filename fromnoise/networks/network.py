"""What every network is: the interface that conditions, control branches, adapters and the denoiser rely on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from ..device import check_memory
from ..errors import Usage, Within
from .context import NOTHING, PLACES, Context, apart, clips

Module = TypeVar("Module", bound=nn.Module)
Depth = Annotated[int, Within(1, 256)]  # blocks in a row
PICTURES = 4  # axes of a batch of them


class Network(nn.Module, ABC):
    """A network: network(x (B, C, *S), t (B,), context) -> like x. It knows nothing of diffusion: t is a number that says how noisy x is.

    ways         how a condition can enter, by names of `PLACES`, and the settings that each calls for; `control` where a control branch can
    dim          width of the time embedding, and so of the context's vector
    context_dim  width of the context's tokens; 0 where it takes none
    concat       channels of the context's picture; 0 where it takes none
    decoder      names of the parts that follow `encode` (for control branches)
    patch        pixels a side that are folded into channels before the first layer (for control branches)
    width        channels after the first layer, where a hint is added (for control branches)
    temporal     whether it is a network of pictures with temporal layers, for clips (B, C, T, H, W), and t (B,), or (B, T) for frames with levels of their own; of
                 single pictures (B, C, H, W) it leaves these layers out
    """

    ways: ClassVar[Mapping[str, Mapping[str, Any]]] = {"add": {}}
    dim: int
    context_dim: int = 0
    concat: int = 0
    decoder: ClassVar[Sequence[str]] = ()
    patch: int
    width: int
    temporal: bool = False

    @classmethod
    def fitting(cls, shape: Sequence[int]) -> dict[str, int]:
        """The settings that examples of this shape, (C, *S), call for."""
        return {"channels": shape[0], "axes": len(shape) - 1}

    @abstractmethod
    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor: ...

    def accepted(self, context: Context | None) -> Context:
        """The context, an empty one for None; raises Usage where it holds what this network would overlook, or lacks what it is laid out for."""
        places = dict.fromkeys(PLACES.get(way, "residuals") for way in self.ways)
        if not self.context_dim:
            places.pop("tokens", None)
        context = (context or NOTHING).only(*places, *(("mask",) if self.context_dim else ()))
        channels = 0 if context.concat is None else context.concat.shape[1]
        if channels != self.concat:
            raise Usage(f"this network takes {self.concat} channels beside x, and the conditions have {channels}; leave network.concat out")
        return context

    def framed(self, x: Tensor, t: Tensor, context: Context, *beside: Tensor) -> tuple[Any, ...]:
        """(x, t, the context and what else is beside x) of a batch of frames in place of clips, where the network has temporal layers."""
        if not self.temporal or x.ndim == PICTURES:
            if t.ndim > 1:
                raise Usage("levels of frames, t (B, T), are for clips and networks with temporal layers; give t (B,), or build it with temporal: true")
            return x, t, context, *beside
        frames = x.shape[2]
        t = t.flatten() if t.ndim == 2 else t.repeat_interleave(frames)
        return apart(x), t, context.framed(frames), *map(apart, beside)

    def clips(self, x: Tensor, like: Tensor) -> Tensor:
        """What a batch of frames is as clips `like` these, where the network has temporal layers."""
        return clips(x, like.shape[2]) if self.temporal and like.ndim > PICTURES else x

    def embedding(self, t: Tensor, context: Context) -> Tensor:
        """The time embedding with the context's vector added; t (B,) -> (B, dim)."""
        emb = self.time_embedding(t)
        return emb if context.vector is None else emb + context.vector

    @classmethod
    def check_control(cls) -> None:
        """Raises Usage where a control branch has nothing to add to."""
        if "control" not in cls.ways:
            raise Usage(f"{cls.__name__} has no features that a control branch could add to; choose network unet, dit or uvit")

    def encoder_copy(self) -> Self:
        """A copy of the network without what follows `encode`."""
        copy = deepcopy(self)
        for name in self.decoder:
            delattr(copy, name)
        return copy

    def zero_convs(self) -> list[nn.Module]:
        """A layer for each feature of `encode` through which a control branch adds to it, zero at first."""
        raise NotImplementedError

    def encode(self, x: Tensor, t: Tensor, context: Context, hint: Tensor | None = None) -> tuple[list[Tensor], Any]:
        """(the features, residuals added; what `forward` needs beside them); hint (B, width, *S / patch) is added after the first layer."""
        raise NotImplementedError


@dataclass(frozen=True)
class Compat:
    """What weights of a published network call for; by default, what ours are trained with.

    groups    of every group norm (null: up to 32 of 4 or more channels)
    eps       of the UNet's norms (null: 1e-5), or of the DiT's norm before the feed-forward layer (null: 1e-6)
    pad_late  the UNet's strided convolutions pad behind alone, as the first DDPM's did
    shift     1: the time embedding's frequencies fall to 1 / 10000 (Ho et al. 2020); 0: they just miss it
    """

    groups: int | None = None
    eps: float | None = None
    pad_late: bool = False
    shift: int = 0


OURS = Compat()


def held(made: Callable[[], Module], copies: int = 1) -> Module:
    """The network that `made` makes; raises Problem where the memory does not hold its weights so many times."""
    size = 0
    with suppress(Exception), torch.device("meta"):  # which takes no memory; what is wrong with the settings is said below
        size = 4 * copies * sum(p.numel() for p in made().parameters())
    check_memory("the network" if copies == 1 else "training the network", size)
    return made()
