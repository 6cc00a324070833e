"""A run's data as latents: from the cache, or encoded batch by batch; and their mean and std."""

from collections.abc import Iterable
from functools import partial

import torch
from accelerate import PartialState
from torch import Tensor

from ..conditions import CONDITIONS, Condition, Image
from ..config import Recipe, coerce
from ..config import build as make
from ..data import Dataset
from ..data.examples import examples
from ..data.feed import check_flip
from ..data.latents import AT_ONCE, Beside, Moments, cached, named
from ..device import best
from ..diffusion import SOURCES, Source
from ..errors import Usage
from ..evaluation.examples import spread
from ..files import cache
from ..model import FirstStage, Model, stage_of
from ..progress import byte_size

MEASURED = 1024  # examples whose latents say what mean and std are


def through(model: Model, data: Dataset, flip: bool, device: torch.device, measure: bool) -> Dataset:
    """The data through the model's first stage: the latents from the cache, or where a condition or the source is made of pictures, the data as it is,
    which is then encoded batch by batch. The first stage takes its mean and std from it where they are to be measured: a base's network knows its own."""
    stage, rows = model.autoencoder.to(device), spread(min(MEASURED, len(data)), len(data))
    if from_cache(model.source, model.conditions.values()):
        beside = pictures_beside(model.conditions.values(), data.shape[0])
        for condition in model.conditions.values():
            if isinstance(condition, Image):
                condition.keep_nothing(moments_of(stage, device))
        with PartialState().main_process_first():
            data = cached(data, moments_of(stage, device), stage.digest, flip, device, beside)
        stage.release_encoder()
        batch = data.take(rows)
        found = [(batch["mean"].to(device), batch["log_variance"].to(device) if "log_variance" in batch else None)]
    else:
        found = [moments_of(stage, device)(data.get(part)["x"]) for part in rows.split(AT_ONCE)] if measure else []
    if measure:
        stage.measure(found)
    return data


def from_cache(source: Source, conditions: Iterable[Condition]) -> bool:
    """Whether training needs no pictures beside latents that can be kept: nothing that it is conditioned on, or starts from, is made of them by chance."""
    return source.key is None and all(condition.lasting for condition in conditions)


def pictures_beside(conditions: Iterable[Condition], channels: int) -> dict[str, Beside]:
    """The pictures that are laid beside x, by their entries, for an autoencoder of so many channels."""
    return {c.entry: Beside(c.source, partial(c.encodable, channels=channels), repr((c.hint, c.options))) for c in conditions if isinstance(c, Image)}


def moments_of(stage: FirstStage, device: torch.device) -> Moments:
    """x (B, C, *S) -> the autoencoder's own mean and log-variance (B, C', *S')."""

    @torch.no_grad()
    def moments(x: Tensor) -> tuple[Tensor, Tensor | None]:
        return stage.through(stage.inner).moments(x.to(device))

    return moments


def encode(recipe: Recipe, device: str | None = None, trust: bool = False) -> list[tuple[str, str]]:
    """Puts the latents of a recipe's data into the cache, as training on them does; (what, how much) in words. Raises Usage where it has no first stage."""
    data, flip = examples(recipe.data, "train"), coerce(recipe.data.get("flip", False), bool, "data: flip", {})
    stage, place = stage_of(recipe.autoencoder, data.shape, trust), best(device)
    if not isinstance(stage, FirstStage):
        raise Usage(f"there is nothing to encode with: autoencoder is {recipe.autoencoder['name']}; name a run, as in autoencoder=runs/mine")
    check_flip(data, flip)
    conditions = [make(CONDITIONS, node, "conditions", kind=Condition) for node in recipe.conditions or []]
    if not from_cache(make(SOURCES, recipe.source or {"name": "gaussian"}, "source", kind=Source), conditions):
        raise Usage("there is nothing to keep: a source, or conditions made of pictures by chance, want these at every step, so training encodes batch by batch")
    shape = stage.to(place).latent_shape(data.shape)
    beside = pictures_beside(conditions, data.shape[0])
    found = cached(data, moments_of(stage, place), stage.digest, flip, place, beside)
    size = sum(value.nbytes for value in found.tensors.values())
    return [("examples", f"{len(data):,} of {data.name} {data.shape}{', mirrored as well' if flip else ''}"), ("latents", f"{shape}, {byte_size(size)}"),
            ("kept in", str(cache() / "latents" / named(data, stage.digest, flip, beside)))]  # fmt: skip
