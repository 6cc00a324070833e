"""Pictures that a sample is to be made of."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..draws import Draws
from ..errors import Usage
from ..networks.context import Context
from .condition import Condition
from .hints.hints import HINTS, STATED, hint_of

HOLE = (-0.76, -0.23, 0.32)  # a blue, where a picture shows that something is to be filled in
LARGEST = 20  # beyond it numbers are bytes that somebody forgot to scale


class Image(Condition):
    """A picture laid beside x (Palette, Saharia et al. 2022; SR3); value (B, C', *S) in [-1, 1] -> Context(concat). "Nothing asked" is all zeros.

    hint     a name of `HINTS`, with its `options`: the picture is made of x itself, so that any data will do (grey: colourisation,
             low_resolution: super-resolution, masked: inpainting). Without one it is the data's second picture (translation)
    shape, image  (C, *S) of the data's x, and (C', *S) of its second picture, () where it has none
    """

    key = "image"
    ways = ("concat",)
    nothing: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        drop: float = 0.1,
        hint: str | None = None,
        options: Mapping[str, Any] | None = None,
        enter: str | None = None,
        image: Sequence[int] = (),
    ):
        super().__init__(drop, enter)
        self.hint, self.options, self.shape = hint, options, tuple(shape)
        if hint is None and not image:
            raise Usage(
                f"the model is conditioned on an image, and the data has none; name a hint that makes one of x ({', '.join(HINTS)}), or use data: pairs"
            )
        made = image if hint is None else self.made(torch.zeros(1, *shape)).shape[1:]
        if tuple(made[1:]) != self.shape[1:]:
            raise Usage(f"a picture beside x has its size: {tuple(made)} does not lie beside {self.shape}")
        self.register_buffer("nothing", torch.zeros(tuple(made)), persistent=False)

    @property
    def source(self) -> str:
        return "image" if self.hint is None else "x"

    def width(self) -> int:
        return len(self.nothing)

    def settle(self, dim: int, shape: Sequence[int]) -> None:
        """Nothing depends on the network."""

    def made(self, pictures: Tensor, draws: Draws | None = None) -> Tensor:
        """The values that pictures (B, C, *S) of its source make; holes by chance from the draws, or from fixed ones."""
        if self.hint is None:
            return pictures
        return hint_of(self.hint, self.options)(pictures, draws or Draws.fixed(len(pictures)))

    def read(self, batch: Mapping[str, Any], draws: Draws | None = None) -> Tensor:
        return self.made(super().read(batch), draws)

    def values(self, value: Tensor, n: int) -> Tensor:
        value = torch.as_tensor(value)
        wanted = tuple(self.nothing.shape)
        if not value.is_floating_point() or (value.numel() and not float(value.abs().max()) <= LARGEST):
            raise Usage("an image is floats in [-1, 1]; bytes are brought there by x / 127.5 - 1")
        value = value[None] if value.ndim == len(wanted) else value
        if tuple(value.shape[1:]) != wanted:
            raise Usage(f"this model is told images of shape {wanted}, not {tuple(value.shape[1:])}")
        if len(value) not in (1, n):
            raise Usage(f"{n} samples need one image or {n} of them, not {len(value)}")
        return value.float().expand(n, *wanted)

    def picture(self, value: Tensor) -> Tensor:
        """The values themselves, holes in a colour of their own."""
        known = self.known(value)
        if known is None or known[0].shape[1] not in (1, 3):
            return value if known is None else known[0]
        given, counts = known
        colour = given.new_tensor(HOLE).reshape(1, 3, *[1] * (given.ndim - 2))
        return torch.where(counts > 0, given, colour)

    def known(self, value: Tensor) -> tuple[Tensor, Tensor] | None:
        return STATED[self.hint](value) if self.hint in STATED else None

    def forward(self, value: Tensor) -> Context:
        return Context(concat=value.to(self.nothing))

    def dropped(self, value: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen.reshape(-1, *[1] * (value.ndim - 1)), self.nothing.to(value), value)

    def null(self, n: int) -> Context:
        if not self.drop:
            raise Usage("this model never trained without its image (drop: 0), so it needs one and cannot be guided; use guidance 1")
        return Context(concat=self.nothing.expand(n, *self.nothing.shape))
