"""What a diffusion run learns, and is measured by: the loss of denoising at levels that cover the schedule."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..config import Recipe
from ..data import Dataset, in_classes
from ..data.dataset import InClasses
from ..diffusion import Level, times_of_frames
from ..draws import Draws
from ..errors import Usage
from ..evaluation.examples import example_conditions, spread
from ..model import STILLS, Base, FirstStage, Model, build, example_of, expanded, inherited, network_class, read_base, with_high
from .encoding import through
from .flop import flop
from .objective import Made, seeded
from .previews import Samples
from .settings import TrainSettings

TIMES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)  # where on the schedule the held-out loss is taken


def stratified(draws: Draws) -> Tensor:
    """t ~ U(0, 1), one in each of as many equal parts as the batch has examples: it covers the schedule evenly (Kingma et al. 2021, app. I.1)."""
    return (draws.randperm().double() + draws.rand()) / draws.total


def noise(model: nn.Module, batch: Mapping[str, Any], draws: Draws, accelerator: Accelerator) -> Tensor:
    """What a batch is blended with; a source that matches it to the data sees the batch of all processes."""
    if not model.source.whole or accelerator.num_processes == 1:
        return model.draw_source(batch, draws)
    whole = Draws(draws.key, range(draws.total), draws.total)
    return model.draw_source({"z": accelerator.gather(batch["z"])}, whole)[draws.rows.start : draws.rows.stop]


def measured(model: nn.Module, settings: TrainSettings, batch: Mapping[str, Any], level: Level, eps: Tensor, draws: Draws) -> Tensor:
    """The loss (B,) as the settings measure it."""
    part = settings.parts["penalty"]
    penalty = part and (lambda a, b: settings.penalty_weight * part(a, b))
    return model(batch, level, eps, settings.parts["weight"], draws, distance=settings.parts["distance"], penalty=penalty)


@dataclass(frozen=True)
class Denoising:
    """The objective of a diffusion run."""

    Settings: ClassVar[type] = TrainSettings
    previews: ClassVar[type] = Samples
    model: Model
    settings: TrainSettings
    accelerator: Accelerator

    @property
    def passes(self) -> int:
        """How often a held-out example goes through the network."""
        return len(TIMES) * (1 + self.model.denoiser.self_condition)

    def flop(self) -> float:
        """Floating-point operations of one example going forward."""
        network, *branches = self.model.networks()
        context, x = self.model.context(1, self.model.with_defaults(1, {})), torch.zeros(1, *self.model.latent_shape, device=self.model.device)
        return flop(network, self.model.latent_shape, branches, self.model.denoiser.seeing(context, x))

    def draw(self, rows: int) -> None:
        """A step of drawing so many samples."""
        next(self.model.trajectory(rows))

    @staticmethod
    def check(recipe: Recipe) -> None:
        """Raises Usage where the recipe names a network that there is not."""
        if recipe.network:
            network_class(expanded(recipe.network))

    @staticmethod
    def made(recipe: Recipe, settings: TrainSettings, data: Dataset, test: Dataset | None, flip: bool, trust: bool, device: torch.device) -> Made:
        """The model of a recipe, and what it is learnt from: with a base, what the recipe leaves open is the base's."""
        base = read_base(recipe.base, trust) if recipe.base else None
        whole = (inherited(recipe, base) if base else recipe).with_defaults()
        recipe = with_high(whole)
        chosen = None if recipe == whole else f"{recipe.predict} says nothing about x0 in pure noise, so noise.high is {recipe.noise['high']}"  # type: ignore[index]
        if base and (classes := classes_of(base, data)):
            data, test = in_classes(data, classes), test and in_classes(test, classes)
        recipe = replace(recipe, network=expanded(recipe.network), shape=data.shape, medium=data.medium, rate=data.rate or None,
                         units=data.units and data.units.as_dict(), classes=data.classes, image=data.image_shape)  # fmt: skip
        if (settings.stills or settings.forcing) and not recipe.network.get("temporal"):  # type: ignore[union-attr]
            key = "stills" if settings.stills else "forcing"
            raise Usage(f"train.{key} is of frames, which networks with temporal layers tell apart; set network.temporal=true, or leave it out")
        copies = 1 if base or device.type != "cpu" else 5  # of all weights: gradients, two averages of Adam's, EMA
        model = _model(recipe, base, test or data, copies, trust)
        if settings.stills and not any(p.requires_grad for name, p in model.named_parameters() if ".temporal." not in name):
            raise Usage("train.stills trains what is not over time, and that stays as it is; leave it out, or adapter: frozen")
        if isinstance(stage := model.autoencoder, FirstStage):
            recipe, data = replace(recipe, autoencoder=stage.node), through(model, data, flip, device, measure=base is None)
        return Made(recipe, model, data, test, chosen)

    def drawn(self, batch: Mapping[str, Any], draws: Draws, done: float) -> dict[str, Any]:
        """The batch with what is drawn for the whole of it before it is cut: its levels, and what it is blended with."""
        batch = self.model.latents(batch, draws.of("latents"))
        t, stills = stratified(draws.of("levels")), self.settings.stills and draws.chance("stills") < self.settings.stills
        if share := 1.0 if stills else self.settings.forcing:
            t = times_of_frames(t, batch["z"].shape[2], share, draws.of("frames"))
        if stills:
            batch = {**batch, STILLS: torch.ones(len(t), dtype=torch.bool)}
        level, eps = self.model.noise(t), noise(self.model, batch, draws.of("noise"), self.accelerator)
        dtype = torch.float32 if eps.device.type == "mps" else torch.float64  # MPS has no float64
        return {**batch, "_eps": eps, "_alpha": level.alpha.to(eps.device, dtype), "_sigma": level.sigma.to(eps.device, dtype)}

    def loss(self, trained: nn.Module, batch: Mapping[str, Any], draws: Draws) -> Tensor:
        """(B,) of a part of a batch that `drawn` gave; `trained` is the model, as processes share it."""
        return measured(trained, self.settings, batch, Level(batch["_alpha"], batch["_sigma"]), batch["_eps"], draws)

    def held_out(self, batch: Mapping[str, Any], seed: int, most: int) -> tuple[float, dict[str, Any]]:
        """The loss of examples that are never trained on, `most` at a time: its mean over `TIMES`, and each of them, {t: loss}."""
        batch, n = self.model.latents(batch), len(batch["x"])
        eps, draws = self.model.draw_source(batch, Draws.fixed(n, seed)), Draws.fixed(n, seed).of("evaluation")

        def mean(t: float) -> float:
            values = []
            for part in (slice(first, first + most) for first in range(0, n, most)):
                here, own = {key: value[part] for key, value in batch.items()}, draws.part(part)
                level = self.model.noise(torch.full((len(own.rows),), t, dtype=torch.float64))
                values.append(measured(self.model, self.settings, here, level, eps[part], own))
            return float(torch.cat(values).mean())

        by_level = {f"{t:g}": mean(t) for t in TIMES}
        return sum(by_level.values()) / len(by_level), {"held_out_by_level": by_level}


def classes_of(base: Base, data: Dataset) -> tuple[str, ...]:
    """The classes of a labelled base, where the data has none, one, or some of those; () where it has others, which then take their numbers."""
    theirs, labelled = base.recipe.classes, any(node["name"] == "label" for node in base.recipe.conditions or [])
    return theirs if labelled and (len(data.classes) <= 1 or set(data.classes) <= set(theirs)) else ()


def _model(recipe: Recipe, base: Base | None, held_out: Dataset, copies: int, trust: bool) -> Model:
    """The model before its first step."""
    with seeded(recipe):
        model = build(recipe, example_of(recipe), base, copies, trust)
    rows = min(64 if len(recipe.shape) > 1 else 1000, len(held_out))  # pictures, or points, whose conditions a run keeps
    values = example_conditions(model, held_out, rows)
    if model.source.key is not None:
        values["source"] = model.source(held_out.get(spread(rows, len(held_out))), Draws.fixed(rows))
    if isinstance(held_out, InClasses):  # what is drawn unless it is said is what is trained
        values["label"] = held_out.labels(spread(rows, len(held_out))) if "label" in held_out.keys else model.conditions["label"].unlabelled_values(rows)
    model.set_examples(values)
    return model
