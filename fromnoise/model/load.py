"""From a run folder, or a folder in diffusers' layout, to a model."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .. import convert
from ..conditions import Example
from ..config import Recipe
from ..device import best, precision
from ..errors import Problem, Usage
from ..networks import lay_weights_last, merge
from ..runs import Run, digest, misfit
from .build import Base, build
from .first_stage import load_autoencoder, recipe_of
from .model import Model


def load(path: str | Path, device: str | torch.device | None = None, trust: bool = False, weights: str = "last") -> Model:
    """The trained model of a run folder, its averaged weights, ready to sample. Loading never executes code; `trust` allows parts of your own.

    weights: the last ones, the "best" by held-out loss, or a name of the folder's weights/, such as "step_00001000". A folder in diffusers'
    layout, of a network that we have, loads as well.
    """
    if convert.is_foreign(path):
        return ready(from_foreign(convert.read(path)), best(device))
    run = Run(path)
    recipe = run.recipe(trust)
    if recipe.reconstructs:
        what = f"{path} is the run of an autoencoder, which draws nothing; train a model on its latents"
        raise Usage(f"{what} (fromnoise train RECIPE autoencoder={path}), or take it by fromnoise.load_autoencoder")
    base = read_base(recipe.base, trust) if recipe.base else None  # a run keeps what it trained; the rest is its base's
    model = build(recipe, example_of(recipe), base, trust=trust)
    run.load_weights(model, weights)
    model.set_examples(run.load_examples())
    return ready(model, best(device), recipe.train.get("precision"))


def ready(model: Model, device: torch.device, trained_in: Any = None) -> Model:
    """The model on a device, in the precision that suits it: bf16 where the hardware has it, but float32 where it was trained so."""
    model.autocast = precision(device, "fp32" if trained_in == "fp32" else "auto")
    for network in model.networks():
        lay_weights_last(network, device)
    return model.to(device).eval()


def example_of(recipe: Recipe) -> Example:
    """What one example of a run's data is, as its recipe keeps it."""
    if not recipe.shape:
        raise Problem("config.yaml names no shape, which a run keeps of its data; restore it, or train again")
    return Example(recipe.shape, recipe.classes, recipe.image)


def from_foreign(foreign: Any) -> Model:
    """The model of another library that `convert.read` took; what is to be said of it is. Raises Problem where its weights are not of its settings."""
    recipe = Recipe.of(foreign.config)
    model = build(recipe, example_of(recipe))
    lacking = next((f"they lack {name}" for name in model.state_dict() if name not in foreign.tensors and name not in model.unsaved), None)
    if wrong := lacking or misfit(model.state_dict(), foreign.tensors):
        raise Problem(f"the weights and config.json do not belong together: {wrong}")
    model.load_state_dict(foreign.tensors, strict=False)
    for note in foreign.notes:
        print(f"fromnoise: {note}", file=sys.stderr)
    return model


def read_base(node: Any, trust: bool = False) -> Base:
    """The base that a recipe names: a run folder or one in diffusers' layout, or {run: FOLDER, weights: last}.

    Raises Problem where it is not there, or is no longer the one that was begun with.
    """
    path, weights = _place(node)
    model = load(path, "cpu", trust, weights)
    recipe = Recipe.of(convert.read(path).config) if convert.is_foreign(path) else Run(path).recipe(trust)
    found = _checked(node, digest(model.state_dict()))
    return Base(recipe, {name: tensor.detach() for name, tensor in merge(model).state_dict().items()}, found)


def read_autoencoder(node: Any, trust: bool = False) -> Base:
    """The base of an autoencoder's run, which is an autoencoder: `read_base`, of it alone."""
    path, weights = _place(node)
    tensors = load_autoencoder(path, "cpu", trust, weights).autoencoder.state_dict()
    return Base(recipe_of(path, trust), tensors, _checked(node, digest(tensors)))


def of_base(recipe: Recipe, trust: bool = False) -> Recipe:
    """The recipe, with the autoencoder of its base where that is one, and the recipe names neither an autoencoder nor a network."""
    if not recipe.base or recipe.autoencoder or recipe.network:
        return recipe
    path, _ = _place(recipe.base)
    if convert.is_foreign(path) and not convert.autoencoder.is_autoencoder(path):
        return recipe
    theirs = recipe_of(path, trust)
    return replace(recipe, autoencoder=theirs.autoencoder) if theirs.reconstructs else recipe


def _place(node: Any) -> tuple[Path, str]:
    """(the folder, which weights) of a base."""
    node = {"run": node} if isinstance(node, str) else node
    if not isinstance(node, Mapping) or not isinstance(node.get("run"), str) or set(node) - {"run", "weights", "digest"}:
        raise Usage(f"base is a run folder, or {{run: FOLDER, weights: best}}, not {node!r}")
    path = Path(node["run"])
    if not path.exists():
        where = "set base to where it is now (in config.yaml of a run that is trained already)"
        raise Problem(f"the base {path} is not there; restore it, or train it first, or {where}")
    return path, node.get("weights", "last")


def _checked(node: Any, found: str) -> dict[str, str]:
    """The node of a base whose weights have the digest `found`; raises Problem where it was begun with others."""
    path, weights = _place(node)
    if isinstance(node, Mapping) and node.get("digest", found) != found:
        raise Problem(f"the base {path} holds other weights than the ones this run began with; restore those")
    return {"run": str(path.resolve()), "weights": weights, "digest": found}
