"""What a run is made of before its first step: settings, data, model, optimizer, average."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from .. import config as settings_of
from ..data import DATASETS, Dataset
from ..device import best, compiled, keep_memory, precision
from ..diffusion import SOURCES
from ..draws import mixed
from ..errors import Usage, nearest
from ..files import cache
from ..model import Model, build, expanded, fill_base, inherited, read_base
from ..networks import lay_weights_last, recompute
from ..registry import lookup
from .ema import EMA
from .optim import OPTIMIZERS, Plateau
from .settings import TrainSettings
from .step import Gradient


@dataclass(frozen=True)
class Setup:
    """The parts of a run.

    config      the recipe with all that was found out: shapes, classes, a preset's settings
    data, test  what is trained on, and what never is (None where nothing is evaluated);  flip  whether examples are mirrored by chance
    model, trained, optimizer  the model as it is, and the model and the optimizer as the processes share them
    parameters  those that are trained;  ema, plateau  of them, and of the held-out loss
    """

    settings: TrainSettings
    seed: int
    config: dict[str, Any]
    accelerator: Accelerator
    data: Dataset
    test: Dataset | None
    flip: bool
    model: Model
    trained: nn.Module
    optimizer: Any
    parameters: list[Tensor]
    ema: EMA
    plateau: Plateau
    gradient: Gradient

    @property
    def main(self) -> bool:
        """Whether this process writes."""
        return self.accelerator.is_main_process

    @property
    def rows(self) -> range:
        """The places of this process's examples in a batch."""
        share = self.settings.batch // self.accelerator.num_processes
        return range(self.accelerator.process_index * share, (self.accelerator.process_index + 1) * share)


def setup(recipe: Any, device: str | None = None, trust: bool = False, own_process: bool = False) -> Setup:
    """Checks a recipe (a mapping, or a value with `as_dict()`) and makes what it describes; nothing is written.

    `trust` allows a base parts of its own. `own_process`: memory may be kept for the next step, and a network that cannot be compiled may
    go on without, which are settings of the whole process. Raises Usage for settings that cannot be.
    """
    config = dict(recipe) if isinstance(recipe, Mapping) else recipe.as_dict()
    for key in config:
        if key not in settings_of.KEYS:
            raise Usage(f"no setting {key!r}{nearest(key, settings_of.KEYS)}")
    settings = settings_of.call(TrainSettings, config.get("train") or {}, "train")
    seed = settings_of.coerce(config.get("seed", 0), int, "seed", {})
    accelerator = _accelerator(device)
    if settings.batch % (accelerator.num_processes * settings.accumulate):
        parts = f"{accelerator.num_processes} x {settings.accumulate}"
        raise Usage(f"train.batch is a multiple of processes x accumulate ({parts}), not {settings.batch}")
    data = examples(config, "train")
    test = examples(config, "test") if settings.evals and settings.held_out else None
    flip = settings_of.coerce(config["data"].get("flip", False) if isinstance(config.get("data"), dict) else False, bool, "data: flip", {})
    if own_process:
        keep_memory()
    base = read_base(config["base"], trust) if config.get("base") else None
    if base:
        config = inherited(config, base)
    elif config.get("adapter"):
        raise Usage("an adapter changes what a trained run has learnt; name that run: base=runs/mnist")
    config = config | described(data)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(mixed("weights", seed))
        model = build(config, data.shape, data.classes, plugins=True)
        if base:
            fill_base(model, base)
        model.remember(shown(model, test or data))
        for condition in model.conditions.values():
            condition.prepare(data)
        model.dry_run()
    model.source = settings_of.build(SOURCES, config.get("source", "gaussian"), "source")
    model.denoiser.autocast = precision(accelerator.device, settings.precision)
    for network in model.networks():
        tuned(network, settings, accelerator.device, own_process)  # before anything is made like its weights
    config = config | {"network": expanded(config.get("network") or "unet")}
    parameters = [p for p in model.parameters() if p.requires_grad]
    make = lookup(OPTIMIZERS, settings.optimizer, "train.optimizer")
    trained, optimizer = accelerator.prepare(model, make(parameters, settings.lr, tuple(settings.betas), settings.weight_decay))
    parameters = [p for p in model.parameters() if p.requires_grad]
    ema = EMA(parameters, settings.ema, settings.ema_warmup)
    gradient = Gradient(accelerator, trained, parameters, settings, settings.accumulate)
    return Setup(settings, seed, config, accelerator, data.to(accelerator.device), test, flip,
                 model, trained, optimizer, parameters, ema, Plateau(), gradient)  # fmt: skip


def _accelerator(device: str | None) -> Accelerator:
    wanted = best(device) if device else None
    accelerator = Accelerator(cpu=wanted is not None and wanted.type == "cpu", mixed_precision="no", gradient_accumulation_steps=1)
    if wanted and wanted.type != accelerator.device.type:
        raise Usage(f"training would run on {accelerator.device}, not on {wanted}; leave --device out, or use cpu")
    return accelerator


def tuned(network: nn.Module, settings: TrainSettings, device: torch.device, own_process: bool = False) -> None:
    """Prepares a network for training: recomputed as the settings say, compiled too and, on a GPU, unless they say otherwise."""
    if settings.recompute and not recompute(network):
        raise Usage("train.recompute: this network is not made of fromnoise's Blocks, so there is nothing to recompute; leave it out")
    lay_weights_last(network, device)
    if settings.compile or (settings.compile is None and device.type == "cuda"):
        compiled(network, cache() / "compiled" if own_process else None, own_process and not settings.compile)


def examples(config: Mapping[str, Any], split: str, plugins: bool = True) -> Dataset:
    """The training ("train") or held-out ("test") examples that a config names."""
    node = config.get("data") or "mnist"
    if not isinstance(node, (str, Mapping)):
        raise Usage(f"data is a name, or a mapping with one, not {node!r}")
    node = {key: value for key, value in ({"name": node} if isinstance(node, str) else node).items() if key not in ("flip", "split")}
    return settings_of.build(DATASETS, node, "data", plugins, split=split)


def shown(model: Model, data: Dataset, n: int = 64) -> dict[str, Any]:
    """The conditions of n examples from all over the data, unless the model's conditions have a varied lot of their own."""
    if not any(condition.from_data for condition in model.conditions.values()):
        return {}
    batch = data.get(torch.arange(min(n, len(data))) * len(data) // min(n, len(data)))
    return {key: condition.read(batch) for key, condition in model.conditions.items()}


def described(data: Dataset) -> dict[str, Any]:
    """What a run's settings keep of its data, so that sampling needs none."""
    image = {"image": list(data.image_shape)} if data.image_shape else {}
    return {"shape": list(data.shape), "classes": list(data.classes)} | image
