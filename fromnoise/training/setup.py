"""What a run is made of before its first step: settings, data, model, optimizer, average."""

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from torch import Tensor, nn

from ..config import MADE, Recipe, call, coerce
from ..data import Dataset
from ..data.examples import examples
from ..data.feed import check_flip
from ..device import best, compiled, keep_memory, precision
from ..errors import Usage
from ..evaluation import EvaluateSettings, find_features
from ..files import cache
from ..model import Autoencoding, Model, of_base
from ..networks import lay_weights_last, recompute
from .denoising import Denoising
from .ema import EMA, Average, Optimizers
from .reconstruction import Reconstruction
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
    model: Model | Autoencoding
    optimizer: Any
    parameters: list[Tensor]
    ema: Average
    objective: Denoising | Reconstruction
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
    recipe = of_base(recipe, trust)
    kind = Reconstruction if recipe.reconstructs else Denoising
    settings = call(kind.Settings, recipe.train, "train")
    accelerator = _accelerator(device)
    if settings.batch % (accelerator.num_processes * settings.accumulate):
        parts = f"{accelerator.num_processes} x {settings.accumulate}"
        raise Usage(f"train.batch is a multiple of processes x accumulate ({parts}), not {settings.batch}")
    find_features(call(EvaluateSettings, recipe.evaluate, "evaluate").features)  # before the training that it follows
    kind.check(recipe)  # before data is drawn or read
    node = recipe.with_defaults().data
    data = examples(node, "train") if data is None else data
    test = examples(node, "test") if settings.evals and settings.held_out else None
    flip = coerce(node.get("flip", False), bool, "data: flip", {})
    check_flip(data, flip)
    if own_process:
        keep_memory()
    made = kind.made(recipe, settings, data, test, flip, trust, accelerator.device)
    recipe, model, data, test, chosen = made.recipe, made.model.to(accelerator.device), made.data, made.test, made.chosen
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
    objective = kind(model, settings, accelerator)
    gradient = Gradient(accelerator, trained, parameters, settings, objective.loss, settings.accumulate)
    return Setup(settings, recipe, accelerator, data.to(accelerator.device), test, flip, model, optimizer, parameters, ema, objective,
                 gradient, chosen)  # fmt: skip


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
