"""Captions, and the encoders that read them: one of our own that needs nothing, and pretrained ones, frozen."""

from collections.abc import Callable

from ...errors import Usage
from ...registry import PLUGIN, lookup
from .encoder import Encoder, Words
from .pretrained import Pretrained

ENCODERS: dict[str, Callable[..., Encoder]] = {"words": Words}


def encoder_of(
    name: str | Callable[..., Encoder], length: int | None = None, width: int | None = None, pad: bool = False, digest: str | None = None
) -> Encoder:
    """The encoder of a name in `ENCODERS`, or `module:Name`, else a pretrained one by name or folder; length: tokens at most, width: of one trained along;
    pad, digest: of a pretrained one."""
    own = callable(name) or name in ENCODERS or PLUGIN.fullmatch(name)
    if own and (pad or digest):
        raise Usage(f"text: {'pad' if pad else 'digest'} is of pretrained encoders; leave it out, or name one")
    if own:
        said = {key: value for key, value in {"length": length, "width": width}.items() if value is not None}
        return lookup(ENCODERS, name, "text encoder")(**said)
    if width is not None:
        raise Usage(f"a pretrained encoder has a width of its own; leave width {width} out, or use encoder: words")
    return Pretrained(name, length, pad, digest)
