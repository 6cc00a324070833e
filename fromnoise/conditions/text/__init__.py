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
CHANNELS = 16  # beside x, where a caption enters so


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


class Text(Condition):
    """A caption, read by a text encoder; value: n strings -> Context, such as (tokens (n, L, width), mask (n, L)).

    encoder  words: our own, trained along; a pretrained one by name or folder, frozen; or one of your own, `module:Name`
    length   tokens at most, longer captions are cut;  width  of an encoder that is trained along
    The null condition is the empty caption. Where only one vector can enter (adaln, add, concat), it is the mean of the tokens that count.
    """

    key = "text"
    ways = ("cross", "token", "adaln", "add", "concat")

    def __init__(
        self, encoder: str | Callable = "words", drop: float = 0.1, enter: str | None = None, length: int | None = None, width: int | None = None
    ):  # fmt: skip
        super().__init__(drop, enter)
        self.encoder = encoder_of(encoder, length, width)

    def width(self, place: str, example: Example) -> int:
        return self.encoder.width if place == "tokens" else CHANNELS

    def init_layers(self, network: nn.Module, example: Example) -> None:
        super().init_layers(network, example)
        if self.place == "tokens":
            self.norm = nn.LayerNorm(self.encoder.width)  # pretrained states may be of any size
        else:
            self.proj = nn.Linear(self.encoder.width, network.dim if self.place == "vector" else CHANNELS)

    def prepare(self, data: Any) -> None:
        self.encoder.prepare(sorted({"", *(data.text or ())}))

    def values(self, value: Any, n: int) -> list[str]:
        texts = [value] if isinstance(value, str) else list(value)
        for text in texts:
            if not isinstance(text, str):
                raise Usage(f"a caption is words, not {text!r}")
        if len(texts) not in (1, n):
            raise Usage(f"{n} samples need one caption or {n} of them, not {len(texts)}")
        return texts * n if len(texts) == 1 else texts

    def parse(self, text: str) -> str:
        """The caption itself, commas and numbers in it too."""
        return text

    def forward(self, value: Sequence[str]) -> Context:
        device = next(self.parameters()).device
        tokens, mask = (part.to(device) for part in self.encoder(value))
        if self.place == "tokens":
            return Context(tokens=self.norm(tokens), mask=mask)
        counted = mask[..., None].to(tokens.dtype)
        return placed(self.proj((tokens * counted).sum(1) / counted.sum(1)), self.place, self.size)

    def nothing(self, n: int) -> list[str]:
        return [""] * n
