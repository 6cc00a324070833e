"""Runs that begin with what another one has learnt: fine-tuning, adapters, control branches."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from . import convert
from .errors import Problem, Usage
from .model import Model, frozen, load
from .networks import merge
from .run import Run

INHERITED = ("network", "predict", "noise", "grid", "clock", "frame", "data_std", "sample")


@dataclass(frozen=True)
class Base:
    """A trained model that another run begins with: its settings, its weights by name, and how a config names it."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    node: Mapping[str, str]


def read(node: Any, trust: bool = False) -> Base:
    """The base that a config names: a run folder or one in diffusers' layout, or {run: FOLDER, weights: last}.

    Raises Problem where it is not there, or is no longer the one that was begun with.
    """
    node = {"run": node} if isinstance(node, str) else node
    if not isinstance(node, Mapping) or not isinstance(node.get("run"), str) or set(node) - {"run", "weights", "digest"}:
        raise Usage(f"base is a run folder, or {{run: FOLDER, weights: best}}, not {node!r}")
    path, weights = Path(node["run"]), node.get("weights", "last")
    if not path.exists():
        raise Problem(
            f"the base {path} is not there; restore it, or train it first, or set base to where it is now (in config.yaml of a run that is trained already)"
        )
    model = load(path, "cpu", trust, weights)
    found = digest(model.state_dict())
    if node.get("digest", found) != found:
        raise Problem(f"the base {path} holds other weights than the ones this run began with; restore those")
    config = convert.read(path).config if convert.is_foreign(path) else Run(path).config()
    tensors = {name: tensor.detach() for name, tensor in merge(model).state_dict().items()}
    return Base(config, tensors, {"run": str(path.resolve()), "weights": weights, "digest": found})


def inherited(config: Mapping[str, Any], base: Base) -> dict[str, Any]:
    """A recipe with the base's model where it says nothing else, and its conditions after the base's."""
    mine, theirs = (_listed(c.get("conditions")) for c in (config, base.config))
    if any(node["name"] == "control" for node in theirs):
        raise Problem(
            f"the base {base.node['run']} is steered by branches of its own; begin with its own base, and compose them when sampling"
        )
    own, known = {node["name"]: node for node in mine}, {node["name"] for node in theirs}
    conditions = [own.get(node["name"], node) for node in theirs] + [node for node in mine if node["name"] not in known]
    model = {key: base.config[key] for key in INHERITED if base.config.get(key) is not None}
    return {**model, **config, "conditions": conditions, "base": dict(base.node)}


def fill(model: Model, base: Base) -> None:
    """Puts the base's weights into the model, which may have more, and trains that; raises Problem where they are of another network."""
    own = model.state_dict()
    for name, tensor in base.tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            here = f"{tuple(own[name].shape)} here" if name in own else "nothing here"
            raise Problem(f"the base {base.node['run']} is of another network: {name} is {tuple(tensor.shape)} there, {here}")
    model.load_state_dict(base.tensors, strict=False)
    for condition in model.conditions.values():
        condition.join(model.denoiser.network)
    for name, parameter in model.named_parameters():
        if name not in base.tensors:  # such as a new condition's under an adapter: nobody has learnt it yet
            parameter.requires_grad_(True)
    model.lent = frozen(model)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """A short name of these weights, wherever they lie."""
    content = hashlib.sha256()
    for name in sorted(tensors):
        content.update(name.encode())
        content.update(tensors[name].cpu().contiguous().flatten().view(-1).numpy().tobytes())
    return content.hexdigest()[:16]


def _listed(conditions: Any) -> list[dict[str, Any]]:
    nodes = conditions if isinstance(conditions, list) else [conditions] if conditions else []
    if not all(isinstance(node, str) or (isinstance(node, Mapping) and "name" in node) for node in nodes):
        raise Usage(f"each condition is a name, or a mapping with one, as in {{name: control, hint: edges}}, not {conditions!r}")
    return [{"name": node} if isinstance(node, str) else dict(node) for node in nodes]
