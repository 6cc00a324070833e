"""What the run of an autoencoder trains: the autoencoder, and the discriminator that it is trained against."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ..autoencoders import AUTOENCODERS, Autoencoder, Measure, loss
from ..config import Recipe
from ..config import build as make
from ..data.units import Units
from ..diffusion import Seeded
from ..draws import Draws
from ..errors import Usage
from ..networks import held
from ..registry import lookup


class Autoencoding(nn.Module):
    """An autoencoder in training, and afterwards: encode, decode, reconstruct.

    shape  (C, *S) of the examples that it was trained on;  classes  their names, if any;  medium, rate, units  see `Model`;  discriminator  None where it has none
    """

    def __init__(self, autoencoder: Autoencoder, shape: Sequence[int], classes: Sequence[str] = (), discriminator: nn.Module | None = None):
        super().__init__()
        self.autoencoder, self.discriminator, self.shape, self.classes = autoencoder, discriminator, tuple(shape), tuple(classes)
        self.medium: str | None = None
        self.rate = 0.0
        self.units: Units | None = None
        self.autocast: torch.dtype | None = None  # the reduced precision that networks run in
        self.conditions = nn.ModuleDict()
        self.unsaved = frozenset(name for name in self.state_dict() if name.startswith("discriminator."))  # of training alone: in last.ckpt

    def networks(self) -> list[nn.Module]:
        """What runs at every step."""
        return [self.autoencoder] + [self.discriminator] * (self.discriminator is not None)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def precision(self) -> AbstractContextManager[Any]:
        """Within it, networks run as `autocast` says."""
        return torch.autocast(self.device.type, self.autocast) if self.autocast else nullcontext()

    def forward(self, batch: Mapping[str, Any], draws: Draws, measure: Measure, done: float = 0.0) -> Tensor:
        """The loss of a batch {"x": (B, C, *S)}, (B,)."""
        with self.precision():
            return loss(self.autoencoder, self.discriminator, batch["x"], draws, measure, done)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """x (B, C, *S) through the means of its latents and back."""
        with self.precision():
            return self.autoencoder.decode(self.autoencoder.encode(x), x.shape[2:]).to(x)

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0, batch: int = 256) -> Tensor:
        """n examples (n, C, *S) decoded from z ~ N(0, 1), the prior of a variational autoencoder (Kingma & Welling 2014); z of sample i is a function of
        (seed, i). Raises Usage where it has no prior."""
        if not self.autoencoder.variational:
            raise Usage(f"a {type(self.autoencoder).__name__} has no prior to draw from, as its latents have no variance; train a model on its latents")
        shape, parts = self.autoencoder.latent_shape(self.shape), []
        for first in range(0, n, batch):
            rows = range(first, min(first + batch, n))
            z = Seeded(seed, rows)(torch.empty(len(rows), *shape)).to(self.device)
            with self.precision():
                x = self.autoencoder.decode(z, self.shape[1:]).float()
                parts.append(self.units.held(x) if self.units else x.clamp(-1, 1))
        return torch.cat(parts)

    def dry_run(self) -> None:
        """One example there and back; raises Usage where the settings cannot be."""
        self.reconstruct(torch.zeros(1, *self.shape, device=self.device))

    def examples(self) -> dict[str, Any]:
        """What a run keeps of held-out examples: nothing."""
        return {}

    def set_examples(self, examples: Mapping[str, Any]) -> None:
        """See `examples`."""


def build_autoencoder(recipe: Recipe, discriminator: nn.Module | None = None) -> Autoencoding:
    """The autoencoder that a recipe describes, for examples of its shape."""
    kind = lookup(AUTOENCODERS, recipe.autoencoder["name"], "autoencoder")
    fitting = getattr(kind, "fitting", Autoencoder.fitting)(recipe.shape)
    made = held(lambda: make(AUTOENCODERS, recipe.autoencoder, "autoencoder", kind=Autoencoder, **fitting))
    model = Autoencoding(made, recipe.shape, recipe.classes, discriminator)
    model.medium, model.rate, model.units = recipe.medium, recipe.rate or 0.0, Units.of(recipe.units)
    return model
