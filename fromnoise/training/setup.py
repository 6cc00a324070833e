"""What a run is made of before its first step: settings, data, model, optimizer, average."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from torch import Tensor, nn

from ..config import MADE, Recipe, call, coerce
from ..data import Dataset, in_classes
from ..data.dataset import InClasses
from ..data.examples import examples
from ..data.feed import check_flip
from ..device import best, compiled, keep_memory, precision
from ..draws import Draws, mixed
from ..errors import Usage
from ..evaluation import EvaluateSettings, find_features
from ..evaluation.examples import example_conditions, spread
from ..files import cache
from ..model import Base, Model, build, example_of, expanded, inherited, network_class, read_base, with_high
from ..networks import lay_weights_last, recompute
from .denoising import Denoising
from .ema import EMA, Average, Optimizers
from .settings import Settings, TrainSettings
from .step import Gradient


@dataclass(frozen=True)
class Setup:
    """The parts of a run.

    recipe      with all that was found out: shapes, classes, a preset's settings
    data, test  what is trained on, and what never is (None where nothing is evaluated);  flip  whether examples are mirrored by chance
    model, optimizer  the model as it is, the optimizer as the processes share it
    parameters  those that are trained;  ema  their average;  objective  what they are trained for;  gradient  what computes theirs
    chosen      what was chosen where the recipe leaves it open, in words
    """

    settings: TrainSettings
    recipe: Recipe
    accelerator: Accelerator
    data: Dataset
    test: Dataset | None
    flip: bool
    model: Model
    optimizer: Any
    parameters: list[Tensor]
    ema: Average
    objective: Denoising
    gradient: Gradient
    chosen: str | None = None

    @property
    def main(self) -> bool:
        """Whether this process writes."""
        return self.accelerator.is_main_process

    @property
    def rows(self) -> range:
        """The places of this process's examples in a batch."""
        share = self.settings.batch // self.accelerator.num_processes
        return range(self.accelerator.process_index * share, (self.accelerator.process_index + 1) * share)


def setup(recipe: Any, device: str | None = None, trust: bool = False, own_process: bool = False, data: Dataset | None = None) -> Setup:
    """Checks a recipe (the value, or a mapping) and makes what it describes; nothing is written.

    `trust` allows a base parts of its own. `own_process`: memory may be kept for the next step, and a network that cannot be compiled may
    go on without, which are settings of the whole process. `data` takes the place of the recipe's. Raises Usage for settings that cannot be.
    """
    recipe = Recipe.of(recipe)
    if said := [key for key in MADE if getattr(recipe, key)]:
        raise Usage(f"{said[0]} is what a run finds out of its data; leave it out of the recipe")
    settings = call(TrainSettings, recipe.train, "train")
    accelerator = _accelerator(device)
    if settings.batch % (accelerator.num_processes * settings.accumulate):
        parts = f"{accelerator.num_processes} x {settings.accumulate}"
        raise Usage(f"train.batch is a multiple of processes x accumulate ({parts}), not {settings.batch}")
    find_features(call(EvaluateSettings, recipe.evaluate, "evaluate").features)  # before the training that it follows
    if recipe.network:
        network_class(expanded(recipe.network))  # before data is drawn or read
    node = recipe.with_defaults().data
    data = examples(node, "train") if data is None else data
    test = examples(node, "test") if settings.evals and settings.held_out else None
    flip = coerce(node.get("flip", False), bool, "data: flip", {})
    check_flip(data, flip)
    if own_process:
        keep_memory()
    base = read_base(recipe.base, trust) if recipe.base else None
    whole = (inherited(recipe, base) if base else recipe).with_defaults()
    recipe = with_high(whole)
    chosen = None if recipe == whole else f"{recipe.predict} says nothing about x0 in pure noise, so noise.high is {recipe.noise['high']}"  # type: ignore[index]
    if base and (classes := classes_of(base, data)):
        data, test = in_classes(data, classes), test and in_classes(test, classes)
    recipe = replace(recipe, network=expanded(recipe.network), shape=data.shape, classes=data.classes, image=data.image_shape)
    copies = 1 if base or accelerator.device.type != "cpu" else 5  # of all weights: gradients, two averages of Adam's, EMA
    model = _model(recipe, base, test or data, copies).to(accelerator.device)
    for condition in model.conditions.values():
        condition.prepare(data)
    model.dry_run()
    model.autocast = precision(accelerator.device, settings.precision)
    for network in model.networks():  # before anything is made like its weights
        prepare_network(network, settings, accelerator.device, own_process)
    parameters = [p for p in model.parameters() if p.requires_grad]
    make = settings.parts["optimizer"]
    optimizer = make(parameters, lr=settings.lr, betas=tuple(settings.betas), weight_decay=settings.weight_decay)
    ema = Optimizers(optimizer) if hasattr(optimizer, "eval") else EMA(parameters, settings.ema, settings.ema_warmup)
    if isinstance(ema, Optimizers) and {"ema", "ema_warmup"} & recipe.train.keys():
        chosen = "; ".join([chosen] * bool(chosen) + [f"train.ema has no part in this: {type(optimizer).__name__} keeps an average of its own"])  # type: ignore[list-item]
    trained, optimizer = accelerator.prepare(model, optimizer)
    objective = Denoising(model, settings, accelerator)
    gradient = Gradient(accelerator, trained, parameters, settings, objective.loss, settings.accumulate)
    return Setup(settings, recipe, accelerator, data.to(accelerator.device), test, flip, model, optimizer, parameters, ema, objective,
                 gradient, chosen)  # fmt: skip


def classes_of(base: Base, data: Dataset) -> tuple[str, ...]:
    """The classes of a labelled base, where the data has none, one, or some of those; () where it has others, which then take their numbers."""
    theirs, labelled = base.recipe.classes, any(node["name"] == "label" for node in base.recipe.conditions or [])
    return theirs if labelled and (len(data.classes) <= 1 or set(data.classes) <= set(theirs)) else ()


def _model(recipe: Recipe, base: Base | None, held_out: Dataset, copies: int) -> Model:
    """The model before its first step, its weights a function of the recipe's seed; the caller's random numbers are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(mixed("weights", recipe.seed))
        model = build(recipe, example_of(recipe), base, copies)
    rows = min(64 if len(recipe.shape) > 1 else 1000, len(held_out))  # pictures, or points, whose conditions a run keeps
    values = example_conditions(model, held_out, rows)
    if model.source.key is not None:
        values["source"] = model.source(held_out.get(spread(rows, len(held_out))), Draws.fixed(rows))
    if isinstance(held_out, InClasses):  # what is drawn unless it is said is what is trained
        values["label"] = held_out.labels(spread(rows, len(held_out))) if "label" in held_out.keys else model.conditions["label"].unlabelled_values(rows)
    model.set_examples(values)
    return model


def _accelerator(device: str | None) -> Accelerator:
    wanted = best(device)
    cpu = device is not None and wanted.type == "cpu"
    processes = PartialState(cpu=cpu)
    if processes.num_processes == 1:
        processes.device = wanted  # it would take the first of the kind
    elif device and (wanted.type != processes.device.type or torch.device(device).index not in (None, processes.device.index)):
        raise Usage(f"several processes share out the devices, and this one's is {processes.device}, not {device}; leave --device out, or use cpu")
    return Accelerator(cpu=cpu, mixed_precision="no", gradient_accumulation_steps=1)


def prepare_network(network: nn.Module, settings: Settings, device: torch.device, own_process: bool = False) -> None:
    """Makes a network recompute as the settings say; compiles it as they say or, where they say nothing, on a GPU."""
    if settings.recompute and not recompute(network):
        raise Usage("train.recompute: this network is not made of fromnoise's Blocks, so there is nothing to recompute; leave it out")
    lay_weights_last(network, device)
    if settings.compile or (settings.compile is None and device.type == "cuda"):
        compiled(network, cache() / "compiled" if own_process else None, own_process and not settings.compile)
