"""Captions, and the encoders that read them: one of our own that needs nothing, and pretrained ones, frozen."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from ...errors import Usage
from ...networks.context import Context
from ...registry import PLUGIN, lookup
from ..condition import Condition, Example, placed
from .encoder import Encoder, Words
from .pretrained import Pretrained

ENCODERS: dict[str, Callable[..., Encoder]] = {"words": Words}


def encoder_of(name: str | Callable[..., Encoder], length: int | None = None, width: int | None = None) -> Encoder:
    """The encoder of this name in `ENCODERS`; your own, `module:Name`; else a pretrained one that transformers knows, by name or folder.

    length: tokens at most;  width: of one that is trained along; both the encoder's own where not said.
    """
    if callable(name) or name in ENCODERS or PLUGIN.fullmatch(name):
        said = {key: value for key, value in {"length": length, "width": width}.items() if value is not None}
        return lookup(ENCODERS, name, "text encoder")(**said)
    if width is not None:
        raise Usage(f"a pretrained encoder has a width of its own; leave width {width} out, or use encoder: words")
    return Pretrained(name, length)
