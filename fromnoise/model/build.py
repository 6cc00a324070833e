"""From a recipe to a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .. import config as settings
from .. import registry
from ..conditions import CONDITIONS, Condition
from ..diffusion import SCHEDULES, Denoiser, Schedule
from ..errors import Problem, Usage
from ..networks import ADAPTERS, NETWORKS, PRESETS, Network
from .model import Model
from .sampling import Sampling

INHERITED = ("network", "predict", "noise", "grid", "clock", "frame", "data_std", "sample")


@dataclass(frozen=True)
class Base:
    """A trained model that another run begins with: its settings, its weights by name, and how a config names it."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    node: Mapping[str, str]


def schedule(node: Any, plugins: bool = False) -> Schedule:
    """A schedule from its node in a recipe; `plugins` lets it name parts of your own."""
    return settings.build(SCHEDULES, node, "noise", plugins, {Schedule: lambda inner: schedule(inner, plugins)})


def expanded(node: Any) -> Any:
    """A network's node with what a preset stands for written out, the node's own settings over it."""
    node = {"name": node} if isinstance(node, str) else node
    if not isinstance(node, Mapping):
        raise Usage(f"network is a name, or a mapping with one, not {node!r}")
    name = node.get("name", "unet")
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if not preset:
        return {**node, "name": name}
    compat = {**preset.get("compat", {}), **node["compat"]} if isinstance(node.get("compat"), Mapping) else preset.get("compat")
    return {**preset, **node, "name": preset["name"]} | ({"compat": compat} if compat else {})


def conditions(
    asked: Any, shape: Sequence[int], classes: Sequence[str], plugins: bool = True, image: Sequence[int] = ()
) -> list[Condition]:
    """The conditions of a recipe's nodes, for examples of this shape, classes of these names, and second pictures of the shape `image`."""
    parts, given = [], {"shape": tuple(shape), "image": tuple(image)}
    for node in asked if isinstance(asked, list) else [asked]:
        node = {"name": node} if isinstance(node, str) else node
        thing = settings.lookup(CONDITIONS, node.get("name"), "conditions", plugins) if isinstance(node, Mapping) else None
        node = thing.completed(node, shape, classes) if thing else node
        parts.append(settings.build(CONDITIONS, node, "conditions", plugins, **given))
    keys = [part.key for part in parts]
    if len(set(keys)) < len(keys):
        raise Usage(f"two conditions are told by {max(keys, key=keys.count)}; each needs a key of its own")
    return parts


def told(node: Mapping[str, Any], name: str, ways: Mapping[str, Any], parts: Sequence[Condition]) -> dict[str, Any]:
    """A network's node with the settings that the conditions' ways in call for; raises Usage where two say different things."""
    node, called = dict(node), {}
    for part in parts:
        for key, value in part.enters(name, ways).items():
            if key == "concat":
                value += called.get(key, 0)
            elif called.get(key, value) != value:
                raise Usage(f"one condition wants the network's {key} to be {called[key]}, another {value}; bring them to the same")
            called[key] = value
    for key, value in called.items():
        if node.get(key, value) != value:
            raise Usage(f"network: {key} is {node[key]}, but the conditions call for {value}; leave it out")
    return node | called


def build(config: Mapping[str, Any], shape: Sequence[int], classes: Sequence[str] = (), plugins: bool = True) -> Model:
    """The model that a config describes, for examples of this shape."""
    noise = schedule(config.get("noise", "cosine"), plugins)
    grid = schedule(config["grid"], plugins) if config.get("grid") else None
    node = expanded(config.get("network") or "unet")
    name = node.get("name")
    thing = settings.lookup(NETWORKS | PRESETS, name, "network", plugins)
    if not (isinstance(thing, type) and issubclass(thing, Network)):
        raise Usage(f"{name} is no network: it must be a subclass of fromnoise.networks.Network")
    if not plugins and (own := next(registry.plugins(node), None)):  # of a network's settings, such as its time embedding
        raise Problem(f"the network has your own {own}; loading it runs that code: say trust=True (--trust) if you trust it")
    fitting = thing.fitting(shape)
    parts = conditions(config.get("conditions") or [], shape, classes, plugins, config.get("image") or ())
    node = told(node, str(name), thing.ways, parts)
    network = settings.build(NETWORKS, node, "network", plugins, **fitting)
    for part in parts:
        part.settle(network.dim, shape)
        part.join(network)
    shared = {key: config[key] for key in ("predict", "frame", "data_std") if key in config}
    clock = config.get("clock") or noise
    clock = schedule(clock, plugins) if isinstance(clock, Mapping) else clock
    denoiser = settings.call(Denoiser, shared, "model", network=network, clock=clock)
    sampling = settings.call(Sampling, config.get("sample") or {}, "sample")
    model = Model(denoiser, noise, shape, parts, grid, sampling, classes)
    if any(part.alone for part in parts):
        if not config.get("base"):
            raise Usage("a control branch is trained on a network that has learnt already: set base to its run, as in base=runs/mnist")
        model.requires_grad_(False)
        for part in parts:
            part.requires_grad_(part.alone)
    if config.get("adapter"):
        if any(part.alone for part in parts):
            raise Usage("a control branch is trained whole, and its base stays as it is; leave the adapter out")
        settings.build(ADAPTERS, config["adapter"], "adapter", plugins).attach(model)
    model.lent = frozen(model) if config.get("base") else frozenset()
    return model


def frozen(model: nn.Module) -> frozenset[str]:
    """The names of parameters that are not trained."""
    return frozenset(name for name, parameter in model.named_parameters() if not parameter.requires_grad)


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


def _listed(conditions: Any) -> list[dict[str, Any]]:
    nodes = conditions if isinstance(conditions, list) else [conditions] if conditions else []
    if not all(isinstance(node, str) or (isinstance(node, Mapping) and "name" in node) for node in nodes):
        raise Usage(f"each condition is a name, or a mapping with one, as in {{name: control, hint: edges}}, not {conditions!r}")
    return [{"name": node} if isinstance(node, str) else dict(node) for node in nodes]
