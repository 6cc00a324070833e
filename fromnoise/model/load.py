"""From a run folder, or a folder in diffusers' layout, to a model."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import config as settings
from .. import convert
from ..device import best, precision
from ..errors import Problem, Usage
from ..networks import lay_weights_last, merge
from ..runs.folder import Run
from .build import Base, build, frozen
from .model import Model


def taken(foreign: Any) -> Model:
    """The model of another library that `convert.read` took; raises Problem where its weights are not of its settings."""
    with settings.sound(foreign.config):
        model = build(foreign.config, foreign.config["shape"], foreign.config["classes"], plugins=False)
    own = model.state_dict()
    for name, tensor in foreign.tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            there = (
                f"it is {tuple(tensor.shape)}, the settings ask for {tuple(own[name].shape)}"
                if name in own
                else "no part of it is called so"
            )
            raise Problem(f"the weights and config.json do not belong together: {name}: {there}")
    model.load_state_dict(foreign.tensors)
    return model


def load(path: str | Path, device: str | torch.device | None = None, trust: bool = False, weights: str = "last") -> Model:
    """The trained model of a run folder, its averaged weights, ready to sample. Loading never executes code; `trust` allows parts of your own.

    weights: the last ones, the "best" by held-out loss, or a name of the folder's weights/, such as "step_00001000". A folder in diffusers'
    layout, of a network that we have, loads as well.
    """

    if convert.is_foreign(path):
        model = taken(convert.read(path))
        model.denoiser.autocast = precision(best(device))
        for network in model.networks():
            lay_weights_last(network, best(device))
        return model.to(best(device)).eval()
    run = Run(path)
    config = run.config()
    model = build(config, config["shape"], config.get("classes") or (), plugins=trust)
    if model.lent:  # a run keeps what it trained; the rest is its base's
        fill_base(model, read_base(config.get("base"), trust))
    run.load_weights(model, weights)
    model.remember(run.load_examples())
    asked = (config.get("train") or {}).get("precision")  # bf16 falls back where the hardware has none; what was trained in fp32 stays so
    model.denoiser.autocast = precision(best(device), "fp32" if asked == "fp32" else "auto")
    for network in model.networks():
        lay_weights_last(network, best(device))
    return model.to(best(device)).eval()


def read_base(node: Any, trust: bool = False) -> Base:
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


def fill_base(model: Model, base: Base) -> None:
    """Puts the base's weights into the model, which may have more, and trains that; raises Problem where they are of another network."""
    own = model.state_dict()
    for name, tensor in base.tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            here = f"{tuple(own[name].shape)} here" if name in own else "nothing here"
            raise Problem(f"the base {base.node['run']} is of another network: {name} is {tuple(tensor.shape)} there, {here}")
    model.load_state_dict(base.tensors, strict=False)
    for condition in model.conditions.values():
        if condition.freezes_rest:
            condition.attach(model.denoiser.network)
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
