"""What a diffusion run learns, and is measured by: the loss of denoising at levels that cover the schedule."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from accelerate import Accelerator, PartialState
from torch import Tensor, nn

from ..config import Recipe
from ..data import Dataset, in_classes
from ..data.dataset import InClasses
from ..data.examples import examples
from ..data.latents import AT_ONCE, Moments, cached, named
from ..device import best
from ..diffusion import Level
from ..draws import Draws, mixed
from ..errors import Usage
from ..evaluation.examples import example_conditions, spread
from ..files import cache
from ..model import Base, FirstStage, Model, build, example_of, expanded, inherited, network_class, read_base, stage_of, with_high
from ..progress import byte_size
from .flop import flop
from .previews import Samples
from .settings import TrainSettings

MEASURED = 1024  # examples whose latents say what mean and std are
TIMES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)  # where on the schedule the held-out loss is taken


@dataclass(frozen=True)
class Made:
    """What an objective makes of a recipe: the recipe with all that was found out, the model before its first step, its data, and what was chosen."""

    recipe: Recipe
    model: Any
    data: Dataset
    test: Dataset | None
    chosen: str | None = None


@contextmanager
def seeded(recipe: Recipe) -> Iterator[None]:
    """Within it random numbers are those of the recipe's first weights; the caller's are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(mixed("weights", recipe.seed))
        yield


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
    passes: ClassVar[int] = len(TIMES)  # of a held-out example through the network
    previews: ClassVar[type] = Samples
    model: Model
    settings: TrainSettings
    accelerator: Accelerator

    def flop(self) -> float:
        """Floating-point operations of one example going forward."""
        network, *branches = self.model.networks()
        return flop(network, self.model.latent_shape, branches, self.model.context(1, self.model.with_defaults(1, {})))

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
        recipe = replace(recipe, network=expanded(recipe.network), shape=data.shape, classes=data.classes, image=data.image_shape)
        copies = 1 if base or device.type != "cpu" else 5  # of all weights: gradients, two averages of Adam's, EMA
        model = _model(recipe, base, test or data, copies, trust)
        if isinstance(stage := model.autoencoder, FirstStage):
            recipe, data = replace(recipe, autoencoder=stage.node), through(model, data, flip, device, measure=base is None)
        return Made(recipe, model, data, test, chosen)

    def drawn(self, batch: Mapping[str, Any], draws: Draws, done: float) -> dict[str, Any]:
        """The batch with what is drawn for the whole of it before it is cut: its levels, and what it is blended with."""
        batch = self.model.latents(batch, draws.of("latents"))
        level, eps = self.model.noise(stratified(draws.of("levels"))), noise(self.model, batch, draws.of("noise"), self.accelerator)
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


def through(model: Model, data: Dataset, flip: bool, device: torch.device, measure: bool) -> Dataset:
    """The data through the model's first stage: the latents from the cache, or where a condition or the source is made of pictures, the data as it is,
    which is then encoded batch by batch. The first stage takes its mean and std from it where they are to be measured: a base's network knows its own."""
    stage, rows = model.autoencoder.to(device), spread(min(MEASURED, len(data)), len(data))
    if model.source.key is None and all(condition.source in ("label", "text") for condition in model.conditions.values()):
        with PartialState().main_process_first():
            data = cached(data, moments_of(stage, device), stage.node["digest"], flip, device)
        batch = data.take(rows)
        found = [(batch["mean"].to(device), batch["log_variance"].to(device) if "log_variance" in batch else None)]
    else:
        found = [moments_of(stage, device)(data.get(part)["x"]) for part in rows.split(AT_ONCE)] if measure else []
    if measure:
        stage.measure(found)
    return data


def moments_of(stage: FirstStage, device: torch.device) -> Moments:
    """x (B, C, *S) -> the autoencoder's own mean and log-variance (B, C', *S')."""

    @torch.no_grad()
    def moments(x: Tensor) -> tuple[Tensor, Tensor | None]:
        return stage.inner.moments(x.to(device))

    return moments


def encode(recipe: Recipe, device: str | None = None, trust: bool = False) -> list[tuple[str, str]]:
    """Puts the latents of a recipe's data into the cache, as training on them does; (what, how much) in words. Raises Usage where it has no first stage."""
    stage, place = stage_of(recipe.autoencoder, trust), best(device)
    if not isinstance(stage, FirstStage):
        raise Usage(f"there is nothing to encode with: autoencoder is {recipe.autoencoder['name']}; name a run, as in autoencoder=runs/mine")
    data, flip = examples(recipe.data, "train"), bool(recipe.data.get("flip"))
    shape = stage.to(place).latent_shape(data.shape)
    found = cached(data, moments_of(stage, place), stage.node["digest"], flip, place)
    size = sum(value.nbytes for value in found.tensors.values())
    return [("examples", f"{len(data):,} of {data.name} {data.shape}{', mirrored as well' if flip else ''}"), ("latents", f"{shape}, {byte_size(size)}"),
            ("kept in", str(cache() / "latents" / named(data, stage.node["digest"], flip)))]  # fmt: skip


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
