"""Captions."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import Usage
from ..networks.context import Context
from .condition import Condition, Example, placed
from .text import encoder_of

CHANNELS = 16  # beside x, where a caption enters so


class Text(Condition):
    """A caption, read by a text encoder; value: n strings -> Context, such as (tokens (n, L, width), mask (n, L)).

    encoder  words: our own, trained along; a pretrained one by name or folder, frozen; or one of your own, `module:Name`
    length   tokens at most, longer captions are cut;  width  of an encoder that is trained along
    pad      of a pretrained one: every caption is filled up to `length` tokens, all of which count, as in Stable Diffusion
    norm     a layer norm of the tokens, which pretrained states, of any size, may want;  digest  of a pretrained one's weights, which a run keeps
    The null condition is the empty caption. Where only one vector can enter (adaln, add, concat), it is the mean of the tokens that count.
    """

    key = "text"
    ways = ("cross", "token", "adaln", "add", "concat")

    def __init__(
        self, encoder: str | Callable = "words", drop: float = 0.1, enter: str | None = None, length: int | None = None, width: int | None = None,
        pad: bool = False, norm: bool = True, digest: str | None = None,
    ):  # fmt: skip
        super().__init__(drop, enter)
        self.encoder, self.normed = encoder_of(encoder, length, width, pad, digest), norm
        self.register_buffer("here", torch.empty(0), persistent=False)

    def width(self, place: str, example: Example) -> int:
        return self.encoder.width if place == "tokens" else CHANNELS

    def init_layers(self, network: nn.Module, example: Example) -> None:
        super().init_layers(network, example)
        if self.place == "tokens":
            self.norm = nn.LayerNorm(self.encoder.width) if self.normed else nn.Identity()
        elif not self.normed:
            raise Usage(f"text: norm is of tokens, and here one vector enters ({self.place}); leave norm out, or enter by cross or token")
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
        tokens, mask = (part.to(self.here.device) for part in self.encoder(value))
        if self.place == "tokens":
            return Context(tokens=self.norm(tokens), mask=mask)
        counted = mask[..., None].to(tokens.dtype)
        return placed(self.proj((tokens * counted).sum(1) / counted.sum(1)), self.place, self.size)

    def nothing(self, n: int) -> list[str]:
        return [""] * n
