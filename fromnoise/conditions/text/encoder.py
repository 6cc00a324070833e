"""What every text encoder is, and which one a name stands for."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Texts as sequences of vectors: forward(n texts) -> (tokens (n, L, width), mask (n, L) bool: which of them count), at least one for each."""

    width: int
    length: int  # tokens at most

    @abstractmethod
    def forward(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]: ...

    def prepare(self, texts: Sequence[str]) -> None:  # noqa: B027 (nothing, unless there is something to gain)
        """Told before training which texts will come."""

    def cut(self, text: str, length: int) -> None:
        """Says, once for each run of the program, that a text is longer than the encoder takes."""
        if not getattr(self, "_said", False):
            self._said = True
            short = text if len(text) < 60 else text[:57] + "…"
            print(f"fromnoise: {short!r} is {length} tokens long; the encoder takes {self.length}, so its end is cut", file=sys.stderr)


def rounded(tokens: int, most: int) -> int:
    """A number of tokens in steps of 8, so that sequences come in few lengths (compiled networks are made for each)."""
    return min(most, -(-tokens // 8) * 8)


def encoder(name: str, length: int | None = None, width: int | None = None) -> Encoder:
    """The encoder of this name: "words" is our own, anything else a pretrained one that transformers knows, by name or folder.

    length: tokens at most, the encoder's own where not said; width: of our own, 256 where not said.
    """
    from .pretrained import Pretrained
    from .words import Words

    return Words(width or 256, length or 64) if name == "words" else Pretrained(name, length)
