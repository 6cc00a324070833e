"""What every text encoder is, and one that needs nothing: words from their bytes, learned along with the network."""

import re
import sys
import unicodedata
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from ...errors import at_least
from ...networks.layers.embed import sincos
from ...networks.uvit import UViTBlock

BUCKETS = 8192
GRAMS = (3, 4, 5)  # bytes


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


@lru_cache(65536)
def buckets(word: str) -> tuple[int, ...]:
    """The rows of the table that make a word: its own, and those of its n-grams of bytes with the word's ends marked."""
    data = b"<" + word.encode() + b">"
    parts = {data} | {data[i : i + n] for n in GRAMS for i in range(len(data) - n + 1)}
    return tuple(sorted({zlib.crc32(part) % BUCKETS for part in parts}))


def split(text: str) -> list[str]:
    """A text's words and marks, in small letters."""
    return re.findall(r"\w+|[^\w\s]", unicodedata.normalize("NFKC", text).lower())


class Words(Encoder):
    """Texts of any language as (n, L, width): a word is the mean of learned vectors of its bytes' n-grams (Bojanowski et al. 2017), transformer blocks follow.

    A word that was never met is still what its parts are, and nothing has to be downloaded. The empty text is the one mark that begins every text.
    """

    def __init__(self, width: int = 256, length: int = 64, depth: int = 2):
        super().__init__()
        at_least(1, "text", width=width, length=length)
        self.width, self.length = width, length
        self.table = nn.EmbeddingBag(BUCKETS, width, mode="mean")
        nn.init.normal_(self.table.weight)
        self.table.weight.lookup = True  # a table of rows, no matrix that multiplies: optimizers may care
        self.first = nn.Parameter(torch.randn(width))
        self.blocks = nn.ModuleList(UViTBlock(width, max(1, width // 64), 4.0, False, 0.0, False) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        device, words = self.first.device, [split(text) for text in texts]
        for text, parts in zip(texts, words, strict=True):
            if len(parts) > self.length - 1:
                self.cut(text, len(parts) + 1)
                del parts[self.length - 1 :]
        lengths = torch.tensor([len(parts) + 1 for parts in words], device=device)
        longest = rounded(int(lengths.max()), self.length)
        rows = [buckets(word) for parts in words for word in parts]
        x = self.first.expand(len(texts), longest, self.width).clone()
        places = torch.arange(longest, device=device)
        mask = places < lengths[:, None]
        if rows:
            starts = torch.tensor([0, *map(len, rows)]).cumsum(0)[:-1].to(device)
            x[mask & (places > 0)] = self.table(torch.tensor([row for word in rows for row in word], device=device), starts)
        else:  # the table has a gradient, of zero, all the same: the processes that share a batch wait for each other's
            x = x + 0 * self.table.weight[0]
        x = x + sincos((longest,), self.width, device)
        for block in self.blocks:
            x = block(x, among=mask)
        return self.norm(x), mask
