"""What transformers on patches have in common."""

import math
from typing import ClassVar, Self

from torch import Tensor, nn

from ..errors import at_least
from .context import Context
from .layers.axes import fold, unfold
from .layers.embed import Rotation, rotation, sincos, zero
from .network import Network


class Transformer(Network):
    """A network of `blocks` on patches. The first `encoder_depth` blocks are the encoder, and what each of them gives is a feature."""

    name: ClassVar[str]
    blocks: nn.ModuleList
    encoder_depth: int

    def set_sizes(self, width: int, heads: int, patch: int, positions: str, context_dim: int, concat: int, temporal: bool) -> None:
        """Checks and keeps the settings that both have."""
        at_least(1, self.name, width=width, heads=heads, patch=patch)
        at_least(0, self.name, context_dim=context_dim, concat=concat)
        self.dim = self.width = width
        self.patch, self.positions, self.head, self.context_dim, self.concat = patch, positions, width // heads, context_dim, concat
        self.temporal = temporal

    def encoder_copy(self) -> Self:
        copy = super().encoder_copy()
        del copy.blocks[self.encoder_depth :]
        return copy

    def zero_convs(self) -> list[nn.Module]:
        return [zero(nn.Linear(self.dim, self.dim)) for _ in range(self.encoder_depth)]

    def patches(self, x: Tensor, context: Context, hint: Tensor | None) -> tuple[Tensor, tuple[int, ...]]:
        """(x as a sequence (B, L, width), with the hint and its positions added; the patches on each axis)."""
        h = fold(context.beside(x), self.patch)
        grid = tuple(h.shape[2:])
        h = self.proj_in(h.flatten(2).transpose(1, 2))
        if hint is not None:
            h = h + hint.flatten(2).transpose(1, 2)
        return h + sincos(grid, self.dim, h.device).to(h) if self.positions == "sincos" else h, grid

    def rotation(self, grid: tuple[int, ...], h: Tensor) -> Rotation | None:
        """How rotary embeddings turn the sequence h, whose last tokens are the patches."""
        return rotation(grid, self.head, h.shape[1] - math.prod(grid), h.device) if self.positions == "rope" else None

    def picture(self, h: Tensor, grid: tuple[int, ...], x: Tensor) -> Tensor:
        """What the patches h (B, L, channels · patch^axes) make, of the size of x."""
        return unfold(h.transpose(1, 2).unflatten(2, grid), self.patch, tuple(x.shape[2:]))
