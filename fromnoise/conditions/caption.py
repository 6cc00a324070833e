"""Words."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..errors import Usage
from ..networks.context import Context
from .condition import Condition, placed
from .text import encoder as reader

CHANNELS = 16  # beside x, where a caption enters so


class Text(Condition):
    """A caption, read by a text encoder; value: n strings -> Context, such as (tokens (n, L, width), mask (n, L)).

    encoder  words: our own, learned along; else a pretrained one by name or folder, frozen;  length  tokens at most, longer captions are cut
    width    of our own encoder
    "Nothing asked" is the empty caption. Where only one vector can enter (adaln, add, concat), it is the mean of the tokens that count.
    """

    key = "text"
    ways = ("cross", "token", "adaln", "add", "concat")

    def __init__(
        self, encoder: str = "words", drop: float = 0.1, enter: str | None = None, length: int | None = None, width: int | None = None
    ):
        super().__init__(drop, enter)
        self.encoder = reader(encoder, length, width)

    def width(self) -> int:
        return self.encoder.width if self.place == "tokens" else CHANNELS

    def settle(self, dim: int, shape: Sequence[int]) -> None:
        self.size = tuple(shape[1:])
        if self.place != "tokens":
            self.read_out = nn.Linear(self.encoder.width, dim if self.place == "vector" else CHANNELS)
        else:
            self.even = nn.LayerNorm(self.encoder.width)  # pretrained states may be of any size

    def prepare(self, data: Any) -> None:
        self.encoder.prepare(sorted({"", *(data.text or ())}))

    def values(self, value: Any, n: int) -> list[str]:
        texts = [value] if isinstance(value, str) else list(value)
        if not all(isinstance(text, str) for text in texts):
            raise Usage(f"a caption is words, not {next(text for text in texts if not isinstance(text, str))!r}")
        if len(texts) not in (1, n):
            raise Usage(f"{n} samples need one caption or {n} of them, not {len(texts)}")
        return texts * n if len(texts) == 1 else texts

    def forward(self, value: Sequence[str]) -> Context:
        tokens, mask = self.encoder(value)
        device = next(self.parameters()).device
        tokens, mask = tokens.to(device), mask.to(device)
        if self.place == "tokens":
            return Context(tokens=self.even(tokens), mask=mask)
        counted = mask[..., None].to(tokens.dtype)
        return placed(self.read_out((tokens * counted).sum(1) / counted.sum(1)), self.place, self.size)

    def dropped(self, value: Sequence[str], chosen: Tensor) -> list[str]:
        return ["" if gone else text for text, gone in zip(value, chosen.tolist(), strict=True)]

    def null(self, n: int) -> Context:
        if not self.drop:
            raise Usage("this model never trained without its captions (drop: 0), so it needs one and cannot be guided; use guidance 1")
        return self([""] * n)
