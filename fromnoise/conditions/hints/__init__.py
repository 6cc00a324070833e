"""Hints: pictures made of pictures, to condition on: what is left of x when something of it is taken away."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from ...draws import Draws
from ...errors import Usage, nearest
from ...registry import lookup
from .frames import frames
from .masks import holed, holes, masked
from .resolution import low_resolution
from .sketch import edges, grey, lines, palette, segments

Hint = Callable[[Tensor, Draws | None], Tensor]  # (B, C, *S) in [-1, 1], what is left to chance -> (B, C', *S) in [-1, 1]

# One that has a method known(value) -> (pixels (B, C, *S), 1 where they are known (B, 1, *S)) fixes these pixels of the samples, as `masked` does.
HINTS: dict[str, Hint] = {
    "grey": grey, "low_resolution": low_resolution, "masked": masked, "edges": edges, "lines": lines, "segments": segments, "palette": palette,
    "frames": frames,
}  # fmt: skip

LASTING = (grey, low_resolution, edges, lines, segments, palette)  # those that leave nothing to chance: what they make of a picture can be kept


def hint_of(name: str | Hint, options: Mapping[str, Any] | None = None) -> Hint:
    """The hint of this name, or your own: a callable (x, draws, **options); with its options set. Raises Usage for an unknown name or option."""
    hint = lookup(HINTS, name, "hint")
    parameters = list(inspect.signature(hint).parameters.values())[2:]
    known, free = [p.name for p in parameters], any(p.kind is p.VAR_KEYWORD for p in parameters)
    for key in () if free else options or {}:
        if key not in known:
            raise Usage(f"hint {name} has no option {key!r}" + (nearest(key, known) if known else "; it takes none"))
    return partial(hint, **(options or {}))
