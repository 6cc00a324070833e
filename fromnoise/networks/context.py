"""The conditions of a batch, by the place where each enters the network."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from ..errors import Usage

# The ways into a network by their names in the field, and the place of the context that each takes. `Network.ways` names those that a network has.
PLACES = {"add": "vector", "adaln": "vector", "token": "tokens", "cross": "tokens", "concat": "concat"}


@dataclass(frozen=True, eq=False)
class ControlHint:
    """A control branch and its input: a picture (B, C', *S), the weight of the branch's residuals for each sample (B,), and the noise levels at which they count.

    branch(x, t, context, picture) -> residuals, one for each of the network's features; they count where low < sigma / alpha <= high.
    """

    branch: Callable[[Tensor, Tensor, "Context", Tensor], tuple[Tensor, ...]]
    picture: Tensor
    weight: Tensor
    low: float = 0.0
    high: float = math.inf

    def cat(self, other: "ControlHint") -> "ControlHint":
        """Both batches one after the other."""
        return replace(self, picture=torch.cat([self.picture, other.picture]), weight=torch.cat([self.weight, other.weight]))

    def active(self, noise: Tensor) -> bool:
        """Whether it counts at this sigma / alpha; the largest of a batch decides."""
        return (self.low, self.high) == (0, math.inf) or self.low < float(noise.max()) <= self.high

    def residuals(self, x: Tensor, t: Tensor, context: "Context") -> tuple[Tensor, ...]:
        """The branch's residuals times the weights; exactly zero for a sample of weight 0."""
        residuals = self.branch(x, t, context, self.picture.to(x))
        return tuple((r.unflatten(0, (len(self.weight), -1)) * self.weight.to(r).reshape(-1, *[1] * r.ndim)).flatten(0, 1) for r in residuals)


@dataclass(frozen=True, eq=False)
class Context:
    """The conditions of a batch, each in the place where it enters the network.

    vector     (B, D)       added to the time embedding, and so in every adaptive norm
    tokens     (B, L, D)    attended to, or put in the sequence
    mask       (B, L)       which tokens count
    concat     (B, C', *S)  laid beside x before the first layer
    residuals  one for each of the network's features, added to them
    hints      control branches and their inputs, by key; `resolve_controls` turns them into residuals (ControlNet)
    frames     how many frames of a clip follow one another in the batch, where it is of frames (`Network.framed`); 0: pictures that know nothing of each other
    stills     whether the frames of clips are such pictures
    """

    vector: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None
    concat: Tensor | None = None
    residuals: tuple[Tensor, ...] = ()
    hints: Mapping[str, ControlHint] = field(default_factory=dict)
    frames: int = 0
    stills: bool = False

    def framed(self, frames: int) -> "Context":
        """The context of the frames of a batch of clips, one after another: each has its clip's."""
        each = {key: value.repeat_interleave(frames, 0) for key in ("vector", "tokens", "mask") if (value := getattr(self, key)) is not None}
        concat = None if self.concat is None else apart(self.concat)
        return replace(self, **each, concat=concat, frames=0 if self.stills else frames)

    def cat(self, other: "Context") -> "Context":
        """Both batches one after the other, for both in one pass."""
        mine, theirs = vars(self), vars(other)
        joined = {k: torch.cat([mine[k], theirs[k]]) for k in mine if isinstance(mine[k], Tensor)}
        residuals = tuple(torch.cat(pair) for pair in zip(self.residuals, other.residuals, strict=True))
        hints = {key: hint.cat(other.hints[key]) for key, hint in self.hints.items()}
        return replace(self, **joined, residuals=residuals, hints=hints)

    def merged(self, other: "Context") -> "Context":
        """Two conditions of the same batch: vectors and residuals add, tokens follow one another, pictures lie side by side."""
        return Context(
            vector=_sum(self.vector, other.vector), tokens=_beside(self.tokens, other.tokens), mask=_masks(self, other),
            concat=_beside(self.concat, other.concat), residuals=_sums(self.residuals, other.residuals), hints={**self.hints, **other.hints},
            frames=self.frames, stills=self.stills,
        )  # fmt: skip

    def with_estimate(self, x0: Tensor) -> "Context":
        """The context with an estimate of the clean x, like that (B, C, *S), before the channels beside x."""
        return replace(self, concat=_beside(x0, self.concat))

    def weight_controls(self, control: Mapping[str, Sequence[float]]) -> "Context":
        """The context with the weights of its hints set by {key: [weight] or [weight, low, high]}; a weight of 0 leaves a hint out."""
        given = {key: [*control.get(key, [1.0]), 0.0, math.inf][:3] for key in self.hints}
        hints = {k: replace(self.hints[k], weight=w * self.hints[k].weight, low=low, high=high) for k, (w, low, high) in given.items() if w}
        return replace(self, hints=hints)

    def resolve_controls(self, x: Tensor, t: Tensor, noise: Tensor) -> "Context":
        """The context with residuals in place of hints, for the network's input x (B, C, *S) and t (B,) at noise = sigma / alpha, () or (B,)."""
        plain, residuals = replace(self, residuals=(), hints={}), self.residuals
        for hint in self.hints.values():
            if hint.active(noise):
                residuals = _sums(residuals, hint.residuals(x, t, plain))
        return replace(plain, residuals=residuals)

    def add_residuals(self, features: Sequence[Tensor], first: int = 0) -> list[Tensor]:
        """The features from number `first` on with their residuals; as they are where there are none."""
        if not self.residuals:
            return list(features)
        return [h + r.to(h) for h, r in zip(features, self.residuals[first : first + len(features)], strict=True)]

    def beside(self, x: Tensor) -> Tensor:
        """x (B, C, *S) with the picture condition's channels after its own, (B, C + C', *S); x itself where there is none."""
        return x if self.concat is None else torch.cat([x, self.concat.to(x)], 1)

    def only(self, *places: str) -> "Context":
        """The context; raises Usage where it holds something elsewhere than in these places."""
        for part in fields(self):
            value = getattr(self, part.name)
            if part.name not in (*places, "frames", "stills") and (isinstance(value, Tensor) or value):
                taken = " or ".join(places) or "nothing"
                raise Usage(f"this network takes conditions as {taken}, not as {part.name}; choose another network")
        return self


def _masks(a: Context, b: Context) -> Tensor | None:
    """The mask of two contexts' tokens one after the other; tokens without a mask all count."""
    if a.mask is None and b.mask is None:
        return None
    both = [context for context in (a, b) if context.tokens is not None]
    return torch.cat([torch.ones_like(c.tokens[..., 0], dtype=torch.bool) if c.mask is None else c.mask.bool() for c in both], 1)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return a + b if a is not None and b is not None else b if a is None else a


def _beside(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return torch.cat([a, b], 1) if a is not None and b is not None else b if a is None else a


def _sums(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Residuals of two, where none is no residuals at all."""
    return tuple(x + y for x, y in zip(a, b, strict=True)) if a and b else a or b


def apart(x: Tensor) -> Tensor:
    """Clips (B, C, T, *S) as their frames one after another, (B·T, C, *S)."""
    return x.transpose(1, 2).flatten(0, 1)


def clips(x: Tensor, frames: int) -> Tensor:
    """The inverse of `apart`."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)


NOTHING = Context()
