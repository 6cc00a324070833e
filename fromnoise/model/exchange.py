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
from .first_stage import FirstStage
from .load import example_of, from_foreign, load
from .model import Model


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
    """Writes a run in diffusers' layout, its adapter merged; (the class that reads it, what is to be said to that, or is otherwise there)."""
    model, recipe, node = _exported(path, trust, weights)
    tensors = {name: tensor.detach().float() for name, tensor in merge(model).state_dict().items()}
    config, schedule = recipe.as_dict(), model.sampling_schedule()
    return convert.write(folder, config, node, tensors, schedule), convert.unsaid(config, schedule)


def export_adapter(path: str | Path, folder: str | Path, trust: bool = False, weights: str = "last") -> tuple[Path, int]:
    """Writes what a run's adapter changes, as PEFT and diffusers name it; (the file, the number of layers)."""
    model, recipe, node = _exported(path, trust, weights)
    if not (added := changes(model)):
        raise Problem(f"{path} has no adapter; leave --adapter out")
    if whole := [name for name, p in model.named_parameters() if p.requires_grad and ".change." not in name]:
        what = f"{path} has also trained {whole[0]} whole"
        raise Problem(f"{what}, for which PEFT's files have no place; leave --adapter out to export all, merged")
    return convert.write_adapter(folder, recipe.as_dict(), node, model.state_dict(), added), len(added)


def _exported(path: str | Path, trust: bool, weights: str) -> tuple[Model, Recipe, dict]:
    """A run's model, its recipe, and the node of its network with what its conditions call for."""
    model, recipe = load(path, "cpu", trust, weights), Run(path).recipe(trust).with_defaults()
    if controls(model):
        raise Problem(f"{path} holds a control branch, which has no counterpart there yet; export its base, {recipe.base['run']}")
    plans = [condition.plan(type(model.denoiser.network), example_of(recipe)) for condition in model.conditions.values()]
    return model, recipe, planned(expanded(recipe.network), plans)
