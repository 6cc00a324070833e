"""Pictures as conditions: the data's second one, or a hint made of x, beside x or through a control branch."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..draws import Draws
from ..errors import Usage
from ..networks.context import Context
from ..registry import lookup
from .condition import Condition, Example
from .hints import HINTS, LASTING, hint_of

LARGEST = 20  # beyond it numbers are bytes that somebody forgot to scale
HOLE = (-0.76, -0.23, 0.32)  # a blue, where a picture shows that something is to be filled in


class Picture(Condition):
    """A picture for each sample, (B, C', *S) in [-1, 1]: made of x by `hint` (of `HINTS`, or `module:name`) with its `options`, else the data's second picture."""

    name: str  # what error messages call it
    option: str  # how the command line takes it
    on_nan: float = torch.inf  # what a NaN counts as when values are checked: an infinite number is no picture

    def __init__(
        self, hint: str | Callable | None = None, options: Mapping[str, Any] | None = None, drop: float = 0.1, enter: str | None = None
    ):
        super().__init__(drop, enter)
        if options and hint is None:
            raise Usage(f"the {self.key} condition has options and no hint that they could be of; name it, as in hint: grey")
        self.options = dict(options or {})
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
        if self.make_hint and len(example.shape) < 2:
            raise Usage(f"a hint is made of pictures, and examples of shape {tuple(example.shape)} are points; leave it out")
        shape = tuple(self.make_hint(torch.zeros(1, *example.shape), None).shape[1:] if self.make_hint else example.image)
        if shape[1:] != tuple(example.shape[1:]):
            raise Usage(f"a picture beside x has its size: {shape} does not lie beside {tuple(example.shape)}")
        return shape

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

    def width(self, place: str, example: Example) -> int:
        shape = self.value_shape(example)
        if example.autoencoder is None:
            return shape[0]
        if shape[0] not in (1, example.shape[0]):
            raise Usage(f"a picture of {shape[0]} channels has no latents, which are of {example.shape[0]}; choose another hint, or leave the autoencoder out")
        return example.diffused[0]

    def init_layers(self, network: nn.Module, example: Example) -> None:
        super().init_layers(network, example)
        self.stage = (example.autoencoder, example.shape[0])  # in a tuple, as it is no part of this one
        self.nothing_mean: Tensor | None = None
        self.register_buffer("zeros", torch.zeros((self.width("concat", example), *example.diffused[1:])), persistent=False)

    def picture(self, value: Tensor) -> Tensor:
        """The values themselves, holes in a colour of their own."""
        if self.known_of is None:
            return value
        pixels, counts = self.known_of(value)
        if pixels.shape[1] not in (1, 3):
            return pixels
        return torch.where(counts > 0, pixels, pixels.new_tensor(HOLE).reshape(1, 3, *[1] * (pixels.ndim - 2)))

    @property
    def lasting(self) -> bool:
        told_apart = not hasattr(self, "zeros") or tuple(self.zeros.shape) != self.shape  # latents from pictures
        return told_apart and (self.hint is None or lookup(HINTS, self.hint, "hint") in LASTING)

    @property
    def entry(self) -> str:
        """What a cache calls the latents of its pictures."""
        return f"{self.key} mean"

    def encodable(self, source: Tensor, channels: int) -> Tensor:
        """The values that pictures (B, C, *S) make, in as many channels as an autoencoder takes; a grey one's are alike."""
        value = self.made(source)
        return value.expand(-1, channels, *value.shape[2:])

    def keep_nothing(self, moments: Callable[[Tensor], tuple[Tensor, Tensor | None]]) -> None:
        """Takes the latents of the null condition from what encodes, while that is there."""
        self.nothing_mean = moments(self.zeros.new_zeros(1, self.stage[1], *self.shape[1:]))[0]

    def read(self, batch: Mapping[str, Any], draws: Draws | None = None) -> Tensor:
        """The pictures; of a cache that has them, their latents."""
        kept = batch.get(self.entry)
        return super().read(batch, draws) if kept is None else self.stage[0].normalised(kept, None)[0]

    def dropped(self, value: Tensor, chosen: Tensor) -> Tensor:
        if not self._are_latents(value):
            return super().dropped(value, chosen)
        assert self.nothing_mean is not None  # what fills the cache has set it
        nothing = self.stage[0].normalised(self.nothing_mean.to(value), None)[0]
        return torch.where(chosen.to(value.device).reshape(-1, *[1] * (value.ndim - 1)), nothing, value)

    def _are_latents(self, value: Tensor) -> bool:
        return self.stage[0] is not None and tuple(value.shape[1:]) != self.shape

    def known(self, value: Tensor) -> tuple[Tensor, Tensor] | None:
        return self.known_of(value) if self.known_of else None

    def forward(self, value: Tensor) -> Context:
        """The picture itself, or its latents where latents are diffused; a grey one in as many channels as these are of."""
        autoencoder, channels = self.stage
        value = value.to(self.zeros)
        if autoencoder is not None and not self._are_latents(value):
            with torch.no_grad():
                value = autoencoder.encode(value.expand(-1, channels, *value.shape[2:]))
        return Context(concat=value)

    def nothing(self, n: int) -> Tensor:
        return self.zeros.new_zeros(()).expand(n, *self.shape)
