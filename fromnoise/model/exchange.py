"""Whole runs from and to the layouts of other libraries."""

from dataclasses import replace
from pathlib import Path

from .. import convert
from ..config import Recipe
from ..errors import Problem
from ..files import vacant
from ..networks import changes, merge
from ..runs import Run
from .build import expanded, planned
from .compose import controls
from .first_stage import FirstStage, is_foreign, load_autoencoder, recipe_of
from .load import example_of, from_foreign, load
from .model import Model

MEASURE = "its scaling_factor is 1: what diffuses its latents measures them first, as fromnoise does"


def import_run(folder: str | Path, out: str | Path) -> Model:
    """Writes a model in diffusers' layout as a run that can be sampled, evaluated and trained on; the model. Raises Problem for what we have no part for."""
    foreign = convert.read(folder)
    model, run = from_foreign(foreign), Run(vacant(Path(out)))
    recipe = Recipe.of(foreign.config)
    if isinstance(stage := model.autoencoder, FirstStage):
        recipe = replace(recipe, autoencoder=stage.node)  # with the digest of its weights
    run.save_weights(model, 0)
    run.write_recipe(recipe)
    return model


def export_run(path: str | Path, folder: str | Path, trust: bool = False, weights: str = "last") -> tuple[str, list[str]]:
    """Writes a run in diffusers' layout, its adapter merged; (the class that reads it, what is to be said to that, or is otherwise there).

    An autoencoder's becomes one of theirs, and that of diffusion in latents a pipeline with its first stage.
    """
    if is_foreign(path) or Run(path).recipe(trust).reconstructs:
        trained, recipe = load_autoencoder(path, "cpu", trust, weights), recipe_of(path, trust)
        return convert.autoencoder.write(folder, recipe.autoencoder or {}, trained.shape[0], trained.autoencoder.state_dict()), [MEASURE]
    model, recipe, node = _exported(path, trust, weights)
    tensors = {name: tensor.detach().float() for name, tensor in merge(model).state_dict().items() if not name.startswith("autoencoder.")}
    config, schedule = recipe.as_dict() | {"shape": list(model.latent_shape)}, model.sampling_schedule()
    kind = convert.write(folder, config, node, tensors, schedule, _stage(model, trust))
    return kind, convert.unsaid(config, schedule, kind)


def _stage(model: Model, trust: bool) -> convert.autoencoder.Stage | None:
    """The first stage of a model, as what is written beside its network."""
    if not isinstance(stage := model.autoencoder, FirstStage):
        return None
    if not stage.trained:
        raise Problem(f"diffusers has no counterpart of the autoencoder {stage.title}; exported can be kl, tiny, vq")
    node = recipe_of(stage.node["path"], trust).autoencoder or {}
    scale = convert.autoencoder.Scale(tuple(stage.mean.tolist()), tuple(stage.std.tolist()))
    return convert.autoencoder.Stage(node, model.shape[0], stage.inner.state_dict(), scale)


def export_adapter(path: str | Path, folder: str | Path, trust: bool = False, weights: str = "last") -> tuple[Path, int]:
    """Writes what a run's adapter changes, as PEFT and diffusers name it; (the file, the number of layers)."""
    model, recipe, node = _exported(path, trust, weights)
    if not (added := changes(model)):
        raise Problem(f"{path} has no adapter; leave --adapter out")
    if whole := [name for name, p in model.named_parameters() if p.requires_grad and ".change." not in name]:
        what = f"{path} has also trained {whole[0]} whole"
        raise Problem(f"{what}, for which PEFT's files have no place; leave --adapter out to export all, merged")
    return convert.write_adapter(folder, recipe.as_dict() | {"shape": list(model.latent_shape)}, node, model.state_dict(), added), len(added)


def _exported(path: str | Path, trust: bool, weights: str) -> tuple[Model, Recipe, dict]:
    """A run's model, its recipe, and the node of its network with what its conditions call for."""
    model, recipe = load(path, "cpu", trust, weights), Run(path).recipe(trust).with_defaults()
    if controls(model):
        raise Problem(f"{path} holds a control branch, which has no counterpart there yet; export its base, {recipe.base['run']}")
    plans = [condition.plan(type(model.denoiser.network), example_of(recipe)) for condition in model.conditions.values()]
    return model, recipe, planned(expanded(recipe.network), plans)
