"""What the run of an autoencoder learns, and is measured by."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..autoencoders import DISCRIMINATORS, Measure, bce
from ..config import Recipe, Within
from ..data import Dataset
from ..diffusion import DISTANCES, PENALTIES
from ..draws import Draws
from ..errors import Problem, Usage
from ..evaluation import perceptual, psnr, returned
from ..model import Autoencoding, build_autoencoder, fill, is_fixed, read_autoencoder
from .flop import counted
from .objective import Made, seeded
from .previews import Reconstructions
from .settings import Part, Settings

NONE_OF_IT = ("adapter", "conditions", "predict", "noise", "clock", "frame", "data_std", "self_condition", "source", "sample")
NO_DISTANCE = ("distance", "penalty", "equivariance", "discriminator")  # ... where the autoencoder has an error of its own
Share = Annotated[float, Within(0, 1)]


@dataclass(frozen=True)
class AutoencoderSettings(Settings):
    """The settings of training an autoencoder: those of any run, and

    kl                    the weight of the latents' divergence from N(0, 1), in nats, where they have a variance: 1 is Kingma & Welling's bound
    penalty               ssim, or {name: perceptual, weights: FILE}: the distance in a network's features, of the reconstruction
    equivariance          the share of steps in which latents are turned and shrunken, and are to be decoded as pictures turned and shrunken
    discriminator         a network that tells reconstructions from pictures, to train against, or null: patch
    discriminator_weight  how strongly its verdict pulls, beside the error;  discriminator_start  the share of the run before it does
    """

    PARTS = {**Settings.PARTS, "distance": DISTANCES | {"bce": bce}, "penalty": PENALTIES | {"perceptual": perceptual}, "discriminator": DISCRIMINATORS}
    distance: Part = "l1"
    kl: Annotated[float, Within(0, 10**6)] = 1e-6
    equivariance: Share = 0.0
    discriminator: Part | None = None
    discriminator_weight: Annotated[float, Within(0, 1000)] = 0.5
    discriminator_start: Share = 0.5

    def error(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """(B,) of reconstructions (B, C, *S): the distance's mean, and the penalty."""
        value, penalty = self.parts["distance"](x_hat, x).flatten(1).mean(1), self.parts["penalty"]
        return value + self.penalty_weight * penalty(x_hat, x) if penalty else value

    @cached_property
    def measure(self) -> Measure:
        """How the loss measures."""
        return Measure(self.error, self.kl, self.equivariance, self.discriminator_weight, self.discriminator_start)


@dataclass(frozen=True)
class Reconstruction:
    """The objective of an autoencoder's run."""

    Settings: ClassVar[type] = AutoencoderSettings
    passes: ClassVar[int] = 1  # of a held-out example through the network
    previews: ClassVar[type] = Reconstructions
    model: Autoencoding
    settings: AutoencoderSettings
    accelerator: Accelerator

    draw: ClassVar[None] = None  # it draws no samples

    def flop(self) -> float:
        """Floating-point operations of one example going there and back."""
        autoencoder = copy.deepcopy(self.model.autoencoder).to("meta")
        return counted(lambda: autoencoder(torch.empty(1, *self.model.shape, device="meta")))

    @staticmethod
    def check(recipe: Recipe) -> None:
        """Raises Usage where the recipe says what has no part in an autoencoder's run, or there is nothing to train."""
        name = recipe.autoencoder["name"]
        if is_fixed(name):
            raise Usage(f"the autoencoder {name} has nothing to train: it is the first stage of a network; add one, as in network=dit")
        if said := [key for key in NONE_OF_IT if getattr(recipe, key)]:
            cure = "leave it out; or name the run of one that is trained, as in autoencoder=runs/mine"
            raise Usage(f"the recipe trains an autoencoder ({recipe.autoencoder['name']}), in which {said[0]} has no part: {cure}")

    @staticmethod
    def made(recipe: Recipe, settings: AutoencoderSettings, data: Dataset, test: Dataset | None, flip: bool, trust: bool, device: torch.device) -> Made:
        """The autoencoder of a recipe, and the discriminator that it is trained against."""
        base = read_autoencoder(recipe.base, trust) if recipe.base else None
        recipe = replace(recipe.with_defaults(), shape=data.shape, medium=data.medium, rate=data.rate or None,
                         units=data.units and data.units.as_dict(), classes=data.classes, base=base and base.node)  # fmt: skip
        make = settings.parts["discriminator"]
        if make and len(data.shape) < 2:
            raise Usage("train.discriminator is for pictures, and the examples are points; leave it out")
        with seeded(recipe):
            model = build_autoencoder(recipe, make and make(data.shape[0], len(data.shape) - 1))
        if base:
            fill(model.autoencoder, base)
            if lacking := sorted(model.autoencoder.state_dict().keys() - base.tensors.keys()):
                raise Problem(f"the base {base.node['run']} is of another network: it lacks {lacking[0]}; leave autoencoder out, to have the base's")
        if settings.named("distance") is bce and not model.autoencoder.bounded:
            raise Usage(f"train.distance=bce is of probabilities, and {recipe.autoencoder['name']} decodes to any number; choose mse or l1, or conv_vae or mlp_vae")
        if model.autoencoder.scored and (said := [key for key in NO_DISTANCE if key in recipe.train]):
            raise Usage(f"train.{said[0]} would do nothing: {recipe.autoencoder['name']} learns by the cross-entropy of every byte; leave it out")
        if settings.penalty:
            settings.error(torch.zeros(1, *data.shape), torch.zeros(1, *data.shape))  # its files are read, before the first step
        return Made(recipe, model, data, test)

    def drawn(self, batch: Mapping[str, Any], draws: Draws, done: float) -> dict[str, Any]:
        """The batch, and how much of the run is done."""
        return {"x": batch["x"], "_done": torch.full((len(batch["x"]),), done)}

    def loss(self, trained: nn.Module, batch: Mapping[str, Any], draws: Draws) -> Tensor:
        """(B,) of a part of a batch; `trained` is the model, as processes share it."""
        return trained(batch, draws, self.settings.measure, float(batch["_done"][0]))

    def held_out(self, batch: Mapping[str, Any], seed: int, most: int) -> tuple[float, dict[str, Any]]:
        """The loss of examples that are never trained on without the discriminator's terms, `most` at a time; and their PSNR in dB, or the share of them that
        comes back exactly, value by value."""
        x, draws = batch["x"], Draws.fixed(len(batch["x"]), seed)
        parts, plain = [slice(i, i + most) for i in range(0, len(x), most)], Measure(self.settings.error, self.settings.kl)
        value = torch.cat([self.model({"x": x[part]}, draws.part(part), plain) for part in parts]).mean()
        name, near, digits = ("exact", returned, 5) if self.model.autoencoder.scored else ("psnr", psnr, 3)
        quality = torch.cat([near(x[part], self.model.reconstruct(x[part])) for part in parts]).mean()
        return float(value), {name: round(float(quality), digits)}
