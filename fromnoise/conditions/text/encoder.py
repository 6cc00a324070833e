"""What every text encoder is."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Texts as sequences of vectors: forward(n texts) -> (tokens (n, L, width), mask (n, L) bool: which of them count), at least one for each."""

    width: int
    length: int  # tokens at most
    said: bool = False  # that a text was cut

    @abstractmethod
    def forward(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]: ...

    def prepare(self, texts: Sequence[str]) -> None:  # noqa: B027 (nothing, unless there is something to gain)
        """Gets ready for these texts, before training."""

    def cut(self, text: str, length: int) -> None:
        """Says, once for each run of the program, that a text is longer than the encoder takes."""
        if not self.said:
            self.said = True
            short = text if len(text) < 60 else text[:57] + "…"
            print(f"fromnoise: {short!r} is {length} tokens long; the encoder takes {self.length}, so its end is cut", file=sys.stderr)


def rounded(tokens: int, most: int) -> int:
    """A number of tokens in steps of 8, so that sequences come in few lengths (compiled networks are made for each)."""
    return min(most, -(-tokens // 8) * 8)
