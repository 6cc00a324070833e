"""From a run folder, or a folder in diffusers' layout, to a model."""

import sys
from collections.abc import Mapping
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
    base = read_base(recipe.base, trust) if recipe.base else None  # a run keeps what it trained; the rest is its base's
    if recipe.reconstructs:
        what = f"{path} is the run of an autoencoder, which draws nothing; train a model on its latents"
        raise Usage(f"{what} (fromnoise train RECIPE autoencoder={path}), or take it by fromnoise.load_autoencoder")
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
    node = {"run": node} if isinstance(node, str) else node
    if not isinstance(node, Mapping) or not isinstance(node.get("run"), str) or set(node) - {"run", "weights", "digest"}:
        raise Usage(f"base is a run folder, or {{run: FOLDER, weights: best}}, not {node!r}")
    path, weights = Path(node["run"]), node.get("weights", "last")
    if not path.exists():
        where = "set base to where it is now (in config.yaml of a run that is trained already)"
        raise Problem(f"the base {path} is not there; restore it, or train it first, or {where}")
    model = load(path, "cpu", trust, weights)
    found = digest(model.state_dict())
    if node.get("digest", found) != found:
        raise Problem(f"the base {path} holds other weights than the ones this run began with; restore those")
    recipe = Recipe.of(convert.read(path).config) if convert.is_foreign(path) else Run(path).recipe(trust)
    tensors = {name: tensor.detach() for name, tensor in merge(model).state_dict().items()}
    return Base(recipe, tensors, {"run": str(path.resolve()), "weights": weights, "digest": found})
