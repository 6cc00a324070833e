"""Pictures as conditions: the data's second one, or a hint made of x, beside x or through a control branch."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..draws import Draws
from ..errors import Usage
from ..networks import Branch, Network
from ..networks.context import Context, ControlHint
from ..registry import lookup
from .condition import Condition, Example
from .hints import HINTS, hint_of

LARGEST = 20  # beyond it numbers are bytes that somebody forgot to scale
HOLE = (-0.76, -0.23, 0.32)  # a blue, where a picture shows that something is to be filled in


class Picture(Condition):
    """A picture for each sample; value (B, C', *S) in [-1, 1].

    hint  a name of `HINTS`, or your own (`module:name`), with its `options`: the picture is made of x itself. Without one it is the data's second picture
    """

    name: str  # what error messages call it
    option: str  # how the command line takes it
    on_nan: float = torch.inf  # what a NaN counts as when values are checked: an infinite number is no picture

    def __init__(
        self, hint: str | Callable | None = None, options: Mapping[str, Any] | None = None, drop: float = 0.1, enter: str | None = None
    ):
        super().__init__(drop, enter)
        if options and hint is None:
            raise Usage(f"the {self.key} condition has options and no hint that they could be of; name it, as in hint: grey")
        self.hint, self.make_hint = hint, None if hint is None else hint_of(hint, options)
        self.known_of = None if hint is None else getattr(lookup(HINTS, hint, "hint"), "known", None)  # where there are holes

    @property
    def source(self) -> str:
        return "image" if self.hint is None else "x"

    def made(self, source: Tensor, draws: Draws | None = None) -> Tensor:
        """The values that pictures (B, C, *S) make: the hint of x, or the data's second pictures as they are."""
        return self.make_hint(source, draws) if self.make_hint else source

    def value_shape(self, example: Example) -> tuple[int, ...]:
        """(C', *S) of the pictures of an example; raises Usage where the data has none, or of another size than x."""
        if not (self.make_hint or example.image):
            cure = f"name a hint that makes one of x ({', '.join(HINTS)}), or use data: pairs"
            raise Usage(f"the model is conditioned on an image, and the data has none; {cure}")
        shape = tuple(self.make_hint(torch.zeros(1, *example.shape), None).shape[1:] if self.make_hint else example.image)
        if shape[1:] != tuple(example.shape[1:]):
            raise Usage(f"a picture beside x has its size: {shape} does not lie beside {tuple(example.shape)}")
        return shape

    def width(self, place: str, example: Example) -> int:
        return self.value_shape(example)[0]

    def init_layers(self, network: nn.Module, example: Example) -> None:
        self.shape = self.value_shape(example)

    def parse(self, text: str) -> Any:
        raise Usage(self.option + text)

    def values(self, value: Any, n: int) -> Tensor:
        fits = isinstance(value, Tensor) and value.is_floating_point()
        if not fits or (value.numel() and not float(value.abs().nan_to_num(self.on_nan).max()) <= LARGEST):
            raise Usage(f"the {self.name} is a tensor of floats in [-1, 1]; bytes are brought there by x / 127.5 - 1")
        value = value[None] if value.ndim == len(self.shape) else value
        if value.ndim != 1 + len(self.shape) or len(value) not in (1, n):
            raise Usage(f"{n} samples need one {self.name} or {n} of them, each {self.shape}, not {tuple(value.shape)}")
        if tuple(value.shape[1:]) != self.shape:
            there, here = ("x".join(map(str, shape)) for shape in (value.shape[1:], self.shape))
            raise Usage(f"the {self.name} is {there} (channels first), this model's are {here}; bring it to that size")
        return value.float().expand(n, *self.shape)


class Image(Picture):
    """A picture laid beside x (Palette, Saharia et al. 2022; SR3); value (B, C', *S) in [-1, 1] -> Context(concat). The null condition is all zeros.

    hint  a name of `HINTS`, with its `options`: the picture is made of x itself, so that any data will do (grey: colourisation,
          low_resolution: super-resolution, masked: inpainting). Without one it is the data's second picture (translation)
    """

    key = name = "image"
    option = "an image comes from a file: --image "
    ways = ("concat",)
    zeros: Tensor

    def init_layers(self, network: nn.Module, example: Example) -> None:
        super().init_layers(network, example)
        self.register_buffer("zeros", torch.zeros(self.shape), persistent=False)

    def picture(self, value: Tensor) -> Tensor:
        """The values themselves, holes in a colour of their own."""
        if self.known_of is None:
            return value
        pixels, counts = self.known_of(value)
        if pixels.shape[1] not in (1, 3):
            return pixels
        colour = pixels.new_tensor(HOLE).reshape(1, 3, *[1] * (pixels.ndim - 2))
        return torch.where(counts > 0, pixels, colour)

    def known(self, value: Tensor) -> tuple[Tensor, Tensor] | None:
        return self.known_of(value) if self.known_of else None

    def forward(self, value: Tensor) -> Context:
        return Context(concat=value.to(self.zeros))

    def nothing(self, n: int) -> Tensor:
        return self.zeros.expand(n, *self.shape)


class Control(Picture):
    """A hint such as edges, which a trainable branch adds to a network that stays as it is (ControlNet, Zhang et al. 2023); value (B, C', *S).

    Only the branch is trained, on a base (`base: runs/…`). A hint of NaN is the null condition: for that sample the branch adds exactly nothing.

    hint  a name of `HINTS`, with its `options`, made of x; none takes the data's own second picture
    drop  the share of training examples whose hint is left out; they teach the branch nothing, so 0 but for a reason
    key   what the branch is called, when sampling as well: the hint's name unless it is said
    """

    ways = ("control",)
    freezes_rest = True
    guidable = False
    on_nan = 0.0

    def __init__(
        self, hint: str | Callable | None = None, options: Mapping[str, Any] | None = None, drop: float = 0.0, key: str | None = None
    ):
        self.key = key or (hint.rpartition(":")[2] if isinstance(hint, str) else getattr(hint, "__name__", "hint"))
        super().__init__(hint, options, drop)
        if not self.key.isidentifier() or hasattr(nn.ModuleDict, self.key):
            raise Usage(f"a control's key is a plain word, such as edges, not {self.key!r}")
        self.name, self.option = f"hint {self.key}", f"a hint comes from a file: --control {self.key}="

    def plan(self, network: type[Network], example: Example) -> dict[str, Any]:
        network.check_control()
        self.value_shape(example)
        return {}

    def init_layers(self, network: Network, example: Example) -> None:
        super().init_layers(network, example)
        self.attach(network)

    def attach(self, network: Network) -> None:
        """Makes the branch, which begins as a copy of what the network is now."""
        self.branch = Branch(network, self.shape[0], len(self.shape) - 1)

    def networks(self) -> list[nn.Module]:
        return [self.branch]

    def default(self, n: int) -> Tensor:
        """The example values; the null condition where there are none."""
        return self.nothing(n) if self.example_values is None else super().default(n)

    def forward(self, value: Tensor) -> Context:
        value = value.to(next(self.branch.parameters()).device)
        given = value.flatten(1).isfinite().all(1)
        return Context(hints={self.key: ControlHint(self.branch, value.nan_to_num(), given.float())})

    def nothing(self, n: int) -> Tensor:
        return torch.tensor(torch.nan).expand(n, *self.shape)

    def null(self, n: int) -> Context:
        return Context()
