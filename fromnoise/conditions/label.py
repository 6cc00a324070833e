"""Class labels."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..draws import Draws
from ..errors import Usage, nearest
from ..networks import Context, Network
from .condition import Condition, Example, placed

WIDTHS = {"tokens": 256, "concat": 4}


def class_numbers(text: str, names: Sequence[str]) -> list[int]:
    """Class names with commas, which names may hold as well; small letters match where no name is spelt so. Numbers, where no class is called by one."""
    known = {name.lower(): i for i, name in enumerate(names)} | {name: i for i, name in enumerate(names)}
    counted = not any(name.isdecimal() for name in names)
    words, numbers = unicodedata.normalize("NFC", text).split(","), list[int]()
    while words:
        ends = [(end, name) for end in range(len(words), 0, -1) for name in [",".join(words[:end]).strip()]]  # the longest name that begins here
        end, word = next(((end, name) for end, name in ends if name in known or name.lower() in known), ends[-1])
        if word.lower() not in known and not (counted and word.removeprefix("-").isdecimal()):
            raise Usage(f"no class {word!r}{nearest(word.lower(), known)}")
        numbers.append(known[word] if word in known else known[word.lower()] if word.lower() in known else int(word))
        words = words[end:]
    return numbers


class Label(Condition):
    """A class number, as a learned vector that enters in any way; value (B,) int64 -> Context, such as (vector (B, dim)).

    With `drop` > 0 that share of the labels is replaced by "no label" in training, which has a vector of its own. With drop = 0 there is none,
    and sampling needs a label.

    classes  how many there are, where more than the data has;  wide  how wide the token is, or how many channels lie beside x
    """

    key = "label"
    from_data = False
    ways = ("adaln", "add", "token", "cross", "concat")

    def __init__(self, classes: int | None = None, drop: float = 0.1, enter: str | None = None, wide: int | None = None):
        super().__init__(drop, enter)
        self.classes, self.wide, self.names = classes, wide, ()

    def plan(self, network: type[Network], example: Example) -> dict[str, Any]:
        if self.classes is None and not example.classes:
            raise Usage(
                "the model is conditioned on labels, and the data has none; put the examples in class folders, name one class for all (data.label=NAME), "
                "or leave the label out"
            )
        if self.classes is not None and self.classes < len(example.classes):
            raise Usage(f"conditions label: classes is {self.classes}, but the data has {len(example.classes)}; leave it out")
        return super().plan(network, example)

    def width(self, place: str, example: Example) -> int:
        return self.wide or WIDTHS[place]

    def init_layers(self, network: Network, example: Example) -> None:
        super().init_layers(network, example)
        self.classes, self.names = self.classes or len(example.classes), tuple(example.classes)
        width = network.dim if self.place == "vector" else self.width(self.place, example)
        self.embed = nn.Embedding(self.classes + (self.drop > 0), width)

    def values(self, value: int | Sequence[int] | Tensor, n: int) -> Tensor:
        value = super().values(value, n)
        if value.is_floating_point() or value.dtype == torch.bool:
            raise Usage(f"a label is a class number from 0 to {self.classes - 1}, not {value.flatten()[:3].tolist()}")
        value = value.long()
        for number in (int(value.min()), int(value.max())) if n else ():
            if not 0 <= number < self.classes:
                raise Usage(f"label {number} is out of range: this model knows 0 to {self.classes - 1}")
        return value

    def parse(self, text: str) -> int | list[int]:
        numbers = class_numbers(text, self.names)
        return numbers if len(numbers) > 1 else numbers[0]

    def unlabelled_values(self, n: int) -> Tensor:
        """The values of n examples of which none has a label; raises Usage where it never trained so."""
        if not self.drop:
            raise Usage("the base never trained without a label (drop: 0), and the data has none; name one class for all (data.label=NAME)")
        return self.nothing(n)

    @property
    def unlabelled(self) -> bool:
        """Whether what it was trained on has no labels, which is every example without the condition."""
        return self.example_values is not None and bool((self.example_values == self.classes).all())

    def read(self, batch: Mapping[str, Any], draws: Draws | None = None) -> Any:
        return self.nothing(len(batch["x"])) if self.unlabelled and self.key not in batch else super().read(batch, draws)

    def default(self, n: int) -> Tensor | None:
        """Every class in turn; the example values, where there are any, so that they belong to those of other conditions."""
        if self.unlabelled:
            return None
        return torch.arange(n) % self.classes if self.example_values is None else super().default(n)

    def forward(self, value: Tensor) -> Context:
        return placed(self.embed(value.to(self.embed.weight.device)), self.place, self.size)

    def nothing(self, n: int) -> Tensor:
        return torch.full((n,), self.classes)
