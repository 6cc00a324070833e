"""From a recipe to a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..autoencoders import AUTOENCODERS, Autoencoder, Identity
from ..conditions import CONDITIONS, Condition, Example
from ..config import FIRST, Recipe, call
from ..config import build as make
from ..data.units import Units
from ..diffusion import SOURCES, Denoiser, Source
from ..diffusion.predict import HIGH, blind
from ..errors import Problem, Usage
from ..networks import ADAPTERS, NETWORKS, PRESETS, Adapter, Network, held
from ..registry import PLUGIN, lookup
from ..runs import misfit
from .first_stage import first_stage, fixed_stage, is_fixed
from .model import Model
from .sampling import Sampling, schedule

INHERITED = ("autoencoder", "network", "predict", "noise", "clock", "frame", "data_std", "self_condition", "source", "sample")


@dataclass(frozen=True)
class Base:
    """A trained model that another run begins with: its recipe, its weights by name, and how a recipe names it."""

    recipe: Recipe
    tensors: Mapping[str, Tensor]
    node: Mapping[str, str]


def build(recipe: Recipe, example: Example, base: Base | None = None, copies: int = 1, trust: bool = False) -> Model:
    """The model that a recipe describes, for examples such as `example`; its weights are the base's as far as that has them.

    Raises Problem where the memory does not hold its network's weights `copies` times. `trust` allows a first stage parts of its own.
    """
    recipe = with_high(recipe)
    noise, node = schedule(recipe.noise), expanded(recipe.network)
    autoencoder = stage_of(recipe.autoencoder, example.shape, trust)
    example = replace(example, autoencoder=None if isinstance(autoencoder, Identity) else autoencoder)
    kind = network_class(node)
    conditions = [make(CONDITIONS, part, "conditions", kind=Condition) for part in recipe.conditions or []]
    keys = [condition.key for condition in conditions]
    if len(set(keys)) < len(keys):
        raise Usage(f"two conditions are called {max(keys, key=keys.count)}; each needs a key of its own")
    plans = [condition.plan(kind, example) for condition in conditions]
    settings = planned(node, [*plans, *([self_conditioned(kind, example)] if recipe.self_condition else [])])
    network = held(lambda: make(NETWORKS, settings, "network", **kind.fitting(spatial(example.diffused, settings))), copies)
    if base:
        fill(network, base, "denoiser.network.")
    for condition in conditions:
        condition.init_layers(network, example)
    clock = recipe.clock if recipe.clock is not None else noise
    clock = schedule(clock) if isinstance(clock, Mapping) else clock
    shared = {"predict": recipe.predict, "frame": recipe.frame, "data_std": recipe.data_std, "self_condition": bool(recipe.self_condition)}
    denoiser = call(Denoiser, shared, "the recipe", None, network=network, clock=clock)
    source = make(SOURCES, recipe.source, "source", kind=Source)
    model = Model(denoiser, noise, example.shape, conditions, source, Sampling.of(recipe.sample or {}), example.classes, autoencoder)
    model.medium, model.rate, model.forcing = recipe.medium, recipe.rate or 0.0, float(recipe.train.get("forcing", 0))
    model.units = Units.of(recipe.units)
    if base:
        fill(model, base)
    freeze(model, recipe, base)
    return model


def stage_of(node: Mapping[str, Any], shape: Sequence[int], trust: bool = False) -> Autoencoder:
    """The first stage that a node of a recipe names for examples of a shape: nothing, the autoencoder of a run (in short its folder), one with nothing to
    train, or one of somebody's own."""
    name = node["name"]
    if (name in AUTOENCODERS or PLUGIN.fullmatch(name)) and is_fixed(name):
        return fixed_stage(node, shape)
    if name in AUTOENCODERS and name not in FIRST:
        raise Usage(f"autoencoder: {name} is not trained; train it by a recipe of its own, without network, and then name its run: autoencoder=runs/mine")
    if name not in FIRST and not PLUGIN.fullmatch(name):  # the folder itself
        node = {**node, "name": "run", "path": name}
    return make({"identity": Identity, "run": first_stage}, node, "autoencoder", kind=Autoencoder, trust=trust).requires_grad_(False)


def with_high(recipe: Recipe) -> Recipe:
    """The recipe with its noise ended at `HIGH`, where it says nothing of an end, its prediction is blind at the whole schedule's, and that is the cure."""
    recipe, end = recipe.with_defaults(), torch.ones(())
    ended = {**(recipe.noise or {}), "high": HIGH}
    curable = "high" not in (recipe.noise or {}) and blind(recipe.predict, schedule(recipe.noise)(end)) and not blind(recipe.predict, schedule(ended)(end))
    return replace(recipe, noise=ended) if curable else recipe


def freeze(model: Model, recipe: Recipe, base: Base | None) -> None:
    """Leaves to be trained what the recipe trains: an adapter, a control branch alone, or all."""
    branches = [condition for condition in model.conditions.values() if condition.freezes_rest]
    partly = bool(branches or recipe.adapter)
    if partly and not recipe.base:
        what = "a control branch is trained on" if branches else "an adapter changes"
        raise Usage(f"{what} a network that has been trained already; set base to its run, as in base=runs/mnist")
    if branches and recipe.adapter:
        raise Usage("a control branch is trained whole, and its base stays as it is; leave the adapter out")
    learnt = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if branches:
        model.requires_grad_(False)
        for condition in branches:
            condition.requires_grad_(True)
    if recipe.adapter:
        make(ADAPTERS, recipe.adapter, "adapter", kind=Adapter).attach(model)
    for name, parameter in model.named_parameters():
        if base and partly and name in learnt - base.tensors.keys():  # such as a new condition's under an adapter: no base has trained it
            parameter.requires_grad_(True)
    if partly and not any(parameter.requires_grad for parameter in model.parameters()):
        raise Usage("nothing is left to be trained: the base has all that this model has; choose another adapter, or name what is trained in adapter.also")
    frozen = (name for name, parameter in model.named_parameters() if not parameter.requires_grad)
    model.unsaved = frozenset(frozen) if recipe.base else frozenset()


def expanded(node: Mapping[str, Any]) -> dict[str, Any]:
    """A network's node with what a preset stands for written out, the node's own settings over it."""
    name = node.get("name", "unet")
    if name not in PRESETS:
        return {**node, "name": name}
    preset = PRESETS[name]
    own = node.get("compat", {})
    compat = {**preset.get("compat", {}), **own} if isinstance(own, Mapping) else own  # a preset's quirks change one by one
    return {**preset, **node, "name": preset["name"]} | ({"compat": compat} if compat else {})


def network_class(node: Mapping[str, Any]) -> type[Network]:
    """The class of a network's node; raises Usage where it is none."""
    thing = lookup(NETWORKS | PRESETS, node["name"], "network")
    if not (isinstance(thing, type) and issubclass(thing, Network)):
        raise Usage(f"{node['name']} is no network: write it as a subclass of fromnoise.networks.Network")
    return thing


def spatial(shape: Sequence[int], settings: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of what a network's spatial layers see of examples: of clips (C, T, H, W), where it has temporal layers, the frames (C, H, W)."""
    if not settings.get("temporal"):
        return tuple(shape)
    if len(shape) < 4:
        raise Usage(f"network.temporal is for clips (channels, frames, height, width), not for examples of shape {tuple(shape)}; leave it out")
    return (*shape[:1], *shape[2:])


def planned(node: Mapping[str, Any], plans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A network's node with the settings that the conditions call for; raises Usage where two call for different ones."""
    called: dict[str, Any] = {}
    for key, value in ((key, value) for plan in plans for key, value in plan.items()):
        if key == "concat":
            value += called.get(key, 0)
        elif called.get(key, value) != value:
            raise Usage(f"one condition wants the network's {key} to be {called[key]}, another {value}; bring them to the same")
        called[key] = value
    for key, value in called.items():
        if node.get(key, value) != value:
            raise Usage(f"network: {key} is {node[key]}, but the conditions call for {value}; leave it out")
    for key in ("context_dim", "concat"):
        if node.get(key) and key not in called:
            raise Usage(f"network: {key} is {node[key]}, but no condition calls for it; leave it out, or add a condition")
    return {**node, **called}


def self_conditioned(kind: type[Network], example: Example) -> dict[str, Any]:
    """The settings of a network that sees its last estimate beside x; raises Usage where it has no place for it."""
    if "concat" not in kind.ways:
        raise Usage(f"self_condition: {kind.__name__} takes nothing beside x; leave it out, or choose another network")
    return {"concat": example.diffused[0]}


def fill(module: nn.Module, base: Base, prefix: str = "") -> None:
    """Puts the base's weights into a module, which may have more; raises Problem where they are of another network."""
    tensors = {name.removeprefix(prefix): tensor for name, tensor in base.tensors.items() if name.startswith(prefix)}
    if wrong := misfit(module.state_dict(), tensors):
        cure = "leave out the settings of the network, or autoencoder, which are then the base's; or take data of as many channels as its own"
        raise Problem(f"the base {base.node['run']} is of another network: {prefix}{wrong}; {cure}")
    module.load_state_dict(tensors, strict=False)


def inherited(recipe: Recipe, base: Base) -> Recipe:
    """A recipe with the base's model where it says nothing else, and its conditions after the base's."""
    mine, theirs = recipe.conditions or [], base.recipe.conditions or []
    if any(node["name"] == "control" for node in theirs):
        raise Problem(f"the base {base.node['run']} has control branches of its own; begin with its own base, and compose them when sampling")
    own, known = {node["name"]: node for node in mine}, {node["name"] for node in theirs}
    conditions = [own.get(node["name"], node) for node in theirs] + [node for node in mine if node["name"] not in known]
    model = {key: getattr(base.recipe, key) for key in INHERITED if getattr(recipe, key) is None}
    if recipe.network is not None and "name" not in recipe.network:  # the base's, with other settings
        model["network"] = {**(base.recipe.network or {}), **recipe.network}
    return replace(recipe, **model, conditions=conditions, base=dict(base.node))
