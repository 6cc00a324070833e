"""A model: denoiser, conditions and schedules together; everything that sampling needs, and nothing of training."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import config as settings
from .conditions import CONDITIONS, Condition
from .diffusion import SCHEDULES, Bound, Denoise, Denoiser, Level, Schedule, Seeded, guided, inpainted, loss
from .diffusion import predict as prediction
from .diffusion.weight import Weight, flat
from .errors import Problem, Usage, nearest
from .networks import ADAPTERS, NETWORKS, NOTHING, PRESETS, Context, lay_weights_last
from .samplers import stepper
from .sampling import Sampling

Guide = Callable[[Denoise, slice], Denoise]  # (denoise, the numbers of its samples) -> denoise, such as one that inpaints


class Model(nn.Module):
    """What a run learns and sampling uses.

    noise     the schedule of training;  grid  the one of sampling (the same unless said otherwise)
    shape     (C, *S) of one sample, or (D,) of a point;  classes  their names, if any
    sampling  how samples are drawn unless asked otherwise
    lent      the names of weights that are another run's, its base's, and stay as they are
    """

    def __init__(
        self,
        denoiser: Denoiser,
        noise: Schedule,
        shape: Sequence[int],
        conditions: Sequence[Condition] = (),
        grid: Schedule | None = None,
        sampling: Sampling | None = None,
        classes: Sequence[str] = (),
    ):
        super().__init__()
        grid = grid or noise
        ends = [noise(torch.ones(())), grid(torch.ones(()))]
        for noisiest in ends:
            prediction.check(denoiser.predict, noisiest)
            denoiser.check(noisiest)
        taken = {*inspect.signature(self.trajectory).parameters, "batch", "progress"}
        for key in (condition.key for condition in conditions):
            if key in taken:
                raise Usage(f"a condition cannot be called {key}, which is a word of sampling already; give it another key")
        self.denoiser, self.noise, self.grid = denoiser, noise, grid
        self.conditions = nn.ModuleDict({condition.key: condition for condition in conditions})
        self.shape, self.classes, self.sampling = tuple(shape), tuple(classes), sampling or Sampling()
        self.lent: frozenset[str] = frozenset()

    def networks(self) -> list[nn.Module]:
        """What runs at every step: the network, and what conditions have beside it."""
        return [self.denoiser.network, *(network for condition in self.conditions.values() for network in condition.networks())]

    # Training

    def forward(
        self,
        batch: Mapping[str, Any],
        level: Level,
        eps: Tensor | None = None,
        weight: Weight = flat,
        generator: torch.Generator | None = None,
        **measure: Any,
    ) -> Tensor:
        """The loss of a batch {"x": (B, C, *S), "label": …} at levels (B,), conditions dropped as they say; (B,). `measure` goes to `diffusion.loss`."""
        context = NOTHING
        with self.denoiser.precision(batch["x"].device):
            for condition in self.conditions.values():
                context = context.merged(condition.train_context(condition.read(batch, generator), generator))
        return loss(self.denoiser, batch["x"], level, context, eps, weight, **measure)

    # Sampling

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def context(self, n: int, conditions: Mapping[str, Any]) -> Context:
        """The context of n samples; a condition that is None or left out asks nothing."""
        self._known(conditions)
        merged = NOTHING
        with self.denoiser.precision(self.device):
            for key, condition in self.conditions.items():
                value = conditions.get(key)
                merged = merged.merged(condition.null(n) if value is None else condition(condition.values(value, n)))
        return merged

    def _known(self, conditions: Mapping[str, Any]) -> None:
        known = list(self.conditions)
        for key in conditions:
            if key not in known:
                raise Usage(f"this model has no condition {key!r}" + (nearest(key, known) if known else "; it was trained without any"))

    def denoise(self, n: int, **conditions: Any) -> Denoise:
        """(x (n, C, *S), level) -> (x0, eps) under conditions, one for all or one for each; none is the unconditional model."""
        return Bound(self.denoiser, self.context(n, conditions))

    def start(self, n: int, seed: int = 0, first: int = 0) -> Tensor:
        """Samples first … first + n - 1 of a seed as pure noise, (n, C, *S); each a function of (seed, its number) alone."""
        eps = Seeded(seed, range(first, first + n))(torch.empty(n, *self.shape))
        noisiest = self.grid(torch.ones(()))
        return (torch.hypot(noisiest.alpha * self.denoiser.data_std, noisiest.sigma) * eps.double()).float().to(self.device)

    def plan(self, sampler: str | None = None, **asked: Any) -> Sampling:
        """The model's own sampling settings with those that were asked for put in."""
        asked["name"] = sampler
        own = {key: getattr(self.sampling, key) for key in asdict(self.sampling)}
        asked = {key: value for key, value in asked.items() if value is not None}
        if asked.get("name", own["name"]) != own["name"]:
            own["options"] = {}  # another sampler's
        return settings.call(Sampling, own | asked, "sample")

    def remember(self, examples: Mapping[str, Any]) -> None:
        """Takes {key: values} as what conditions are asked where nobody asks for anything."""
        for key, condition in self.conditions.items():
            condition.examples = examples.get(key)

    def examples(self) -> dict[str, Any]:
        """What was remembered."""
        return {key: condition.examples for key, condition in self.conditions.items() if condition.examples is not None}

    def rehearse(self) -> None:
        """One step of the walk that the model's own settings ask for; raises Usage where they cannot be."""
        next(self.trajectory(1))

    def bind(
        self,
        plan: Sampling,
        n: int,
        conditions: Mapping[str, Any],
        weak: "Model | None" = None,
        negative: Mapping[str, Any] | None = None,
    ) -> Denoise:
        """The denoiser of n samples under conditions, guided as `plan` says: away from no conditions, from negative ones, or from another model, `weak`."""
        if plan.guidance == 1 and negative:
            raise Usage("guidance leads away from what is negative, and at 1 there is none; set it above 1")
        if weak is not None and negative:
            raise Usage("guidance leads away from what is negative, or from another model, not from both")
        controls = [key for key, condition in self.conditions.items() if not condition.guides]
        for key in plan.control:
            if key not in controls:
                raise Usage(f"this model has no control {key!r}" + (nearest(key, controls) if controls else ""))
        strong = Bound(self.denoiser, self.context(n, conditions).heeding(plan.control))
        if plan.guidance == 1:
            return strong
        if weak is None and not any(condition.guides for condition in self.conditions.values()):
            raise Usage("this model has no condition to guide by; leave guidance at 1")
        if weak is not None and weak.shape != self.shape:
            raise Usage(f"the model to guide against makes {weak.shape}, this one {self.shape}; name one of the same data")
        kept = {key: conditions.get(key) for key in controls}
        other = (
            Bound(self.denoiser, self.context(n, {**kept, **(negative or {})}).heeding(plan.control))
            if weak is None
            else Bound(weak.denoiser, weak.context(n, {k: conditions[k] for k in weak.conditions if k in conditions}).heeding(plan.control))
        )
        return guided(strong, other, plan.guidance, plan.low, plan.high, plan.rescale)

    def asked(self, n: int, conditions: Mapping[str, Any]) -> dict[str, Any]:
        """What n samples are asked to be: as given, and a varied lot where a condition isn't mentioned."""
        self._known(conditions)
        filled = {key: conditions[key] if key in conditions else condition.default(n) for key, condition in self.conditions.items()}
        return {key: None if value is None else self.conditions[key].values(value, n) for key, value in filled.items()}

    def trajectory(
        self,
        n: int,
        sampler: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        init: Tensor | None = None,
        strength: float = 0.6,
        first: int = 0,
        clip: str | None = None,
        low: float | None = None,
        high: float | None = None,
        rescale: float | None = None,
        negative: Mapping[str, Any] | None = None,
        control: Mapping[str, Any] | None = None,
        start: Tensor | None = None,
        guide: Guide | None = None,
        weak: "Model | None" = None,
        **conditions: Any,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """(x, x0) after every step of n samples on their way from noise to data, each (n, C, *S).

        sampler, steps, guidance, options, clip, low, high, rescale, control: see `Sampling`; None takes the model's own. init (n or 1, C, *S) in [-1, 1]:
        start from it, noised as far as `strength` in (0, 1] says (SDEdit, Meng et al. 2022). start (n or 1, C, *S): this is x at the noisiest level,
        such as an inverted picture, in place of the seed's noise. guide: what else changes the prediction. What guidance leads away from: negative,
        such as {"text": "a cat"}, nothing asked unless said; or weak, a worse model of the same data (autoguidance, Karras et al. 2024).
        conditions: one value, or one per sample.
        """
        if n < 1:
            raise Usage(f"draw at least 1 sample, not {n}")
        if not 0 < strength <= 1:
            raise Usage(f"strength is the share of the walk that an image is taken back, 0 < strength <= 1, not {strength}")
        plan = self.plan(
            sampler, steps=steps, guidance=guidance, options=options, clip=clip, low=low, high=high, rescale=rescale, control=control
        )
        told = self.asked(n, conditions)
        denoise = self.bind(plan, n, told, weak, negative)
        denoise = plan.held(guide(denoise, slice(first, first + n)) if guide else denoise)
        for key, value in told.items():
            known = None if value is None else self.conditions[key].known(value)
            denoise = inpainted(denoise, known[0], 1 - known[1]) if known else denoise
        levels, x = self.grid.levels(plan.steps), self.start(n, seed, first)
        if start is not None and init is not None:
            raise Usage("samples start from an image or from noise of your own, not from both")
        if start is not None:
            x = self.fitted(start, n).to(x).expand_as(x)
        if init is not None:
            levels = levels[-1 - max(1, round(strength * plan.steps)) :]
            x = levels[0].mix(self.fitted(init, n).to(x).expand_as(x), Seeded(seed, range(first, first + n))(x))
        randn = Seeded(seed ^ (1 << 63), range(first, first + n))  # a stream of its own, apart from the start's
        walk = stepper(plan.name, randn, plan.options)(denoise, x, levels)
        return self.quietly(walk)

    def fitted(self, images: Tensor, n: int) -> Tensor:
        """Images for n samples, one for all or one for each; raises Usage where they are of another shape or number."""
        if tuple(images.shape[1:]) != self.shape:
            raise Usage(f"the image is {tuple(images.shape[1:])}, the model's samples are {self.shape}; resize it first")
        if len(images) not in (1, n):
            raise Usage(f"{n} samples start from one image or {n} of them, not {len(images)}")
        return images

    def quietly(self, walk: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """The walk, with the model in evaluation mode and no gradients kept."""
        while True:  # neither mode may leak into the caller's code between two steps
            was = self.training
            self.eval()
            try:
                with torch.no_grad():
                    step = next(walk, None)
            finally:
                self.train(was)
            if step is None:
                return
            yield step

    def sample(self, n: int, *, seed: int = 0, batch: int | None = None, progress: Any = None, **asked: Any) -> Tensor:
        """n samples (n, C, *S) in [-1, 1] (points as they are), drawn in batches; arguments of `trajectory`.

        Sample i is a function of (seed, i) and what is asked of it, however they are batched. `progress(done)` is told after every batch.
        """
        if n < 1:
            raise Usage(f"draw at least 1 sample, not {n}")
        batch = self.sampling.batch if batch is None else batch
        if batch < 1:
            raise Usage(f"samples are drawn at least 1 at a time, not {batch}")
        own = (
            "sampler",
            "steps",
            "guidance",
            "options",
            "strength",
            "clip",
            "low",
            "high",
            "rescale",
            "control",
            "negative",
            "guide",
            "weak",
        )
        walk = {key: asked.pop(key) for key in own if key in asked}
        begin = {key: self.fitted(value, n) for key in ("init", "start") if (value := asked.pop(key, None)) is not None}
        conditions, parts = self.asked(n, asked), []
        for first in range(0, n, batch):
            part = slice(first, min(first + batch, n))
            mine = {key: None if value is None else value[part] for key, value in conditions.items()}
            whence = {key: images[part] if len(images) > 1 else images for key, images in begin.items()}
            for x, _ in self.trajectory(part.stop - first, seed=seed, first=first, **whence, **walk, **mine):  # noqa: B007
                pass
            parts.append(x.clamp(-1, 1) if len(self.shape) > 1 else x)
            if progress:
                progress(part.stop)
        return torch.cat(parts)


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
    return {**preset, **{key: value for key, value in node.items() if key != "name"}} if preset else {**node, "name": name}


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
    if not (isinstance(thing, type) and hasattr(thing, "fitting")):
        raise Usage(f"{name} is no network: it must be a class with `fitting(shape)` and `dim`, as those in fromnoise.networks")
    fitting = thing.fitting(shape)
    parts = conditions(config.get("conditions") or [], shape, classes, plugins, config.get("image") or ())
    node = told(node, str(name), getattr(thing, "WAYS", {"add": {}}), parts)
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
    from . import convert
    from .device import best, precision
    from .run import Run

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
        from . import base

        base.fill(model, base.read(config.get("base"), trust))
    run.load_weights(model, weights)
    model.remember(run.load_examples())
    asked = (config.get("train") or {}).get("precision")  # bf16 falls back where the hardware has none; what was trained in fp32 stays so
    model.denoiser.autocast = precision(best(device), "fp32" if asked == "fp32" else "auto")
    for network in model.networks():
        lay_weights_last(network, best(device))
    return model.to(best(device)).eval()
