"""A training run, readable from top to bottom."""

import math
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import Tensor

from .. import config as settings
from ..data import Dataset, Plan, feed
from ..data.examples import described, examples
from ..device import best, compiled, keep_memory, precision
from ..diffusion import SOURCES
from ..draws import mixed
from ..errors import Problem, Usage, nearest
from ..files import cache
from ..model import Model, build, expanded, fill_base, inherited, read_base
from ..networks import lay_weights_last, recompute
from ..runs.folder import EXAMPLES, Run
from .checkpoint import State, go_back, keep_best, remember, restore, save, settle
from .ema import EMA
from .monitor import Watch
from .optim import OPTIMIZERS, RATES, Plateau
from .step import Gradient, diagnosis

AVERAGED = 4  # steps from one update of the moving average to the next: it costs a pass over all weights


@dataclass(frozen=True)
class Train:
    """The settings of a training run.

    steps, minutes  how long: so many steps, or so much wall-clock time of training (either, or both: what comes first)
    batch           examples a step, over all processes;  accumulate  in how many passes each process takes its share
    lr, rate, warmup  the peak learning rate, its course (`RATES`), and over how many steps it rises
    ema, ema_warmup the average's half-life in images, and its largest share of the images seen
    weight, distance, penalty  see `diffusion.loss`;  penalty_weight  how much the penalty counts
    clip            the largest norm of the gradient;  strikes  non-finite steps in a row before going back to the last checkpoint
    precision       auto, bf16 or fp32 of the network;  compile  torch.compile it (null: on a GPU)
    recompute       keep a block's input alone and compute it again on the way back: less memory, about a third more time
    looks           how many times in the run the held-out loss is taken and a grid is drawn
    save_minutes, save_every  how often all is saved, in minutes or steps;  keep, keep_every  averaged weights kept: the last few, every so many steps
    tracker         none, tensorboard or wandb, beside log.jsonl
    """

    steps: int | None = None
    minutes: float | None = None
    batch: int = 128
    accumulate: int = 1
    optimizer: Literal["adamw", "adam", "schedule_free", "muon"] = "adamw"
    lr: float = 1e-3
    rate: Literal["cosine", "constant", "linear", "plateau"] = "cosine"
    warmup: int = 100
    betas: list[float] = field(default_factory=lambda: [0.9, 0.99])
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 500_000
    ema_warmup: float = 0.05
    weight: Literal["flat", "min_snr", "edm", "sigmoid", "three_term"] = "flat"
    distance: Literal["mse", "l1", "huber"] = "mse"
    penalty: Literal["ssim"] | None = None
    penalty_weight: float = 1.0
    strikes: int = 5
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    compile: bool | None = None
    recompute: bool = False
    looks: int = 10
    held_out: int = 256
    log_every: int = 50
    save_minutes: float = 5.0
    save_every: int | None = None
    keep: int = 0
    keep_every: int | None = None
    workers: int = 0
    tracker: Literal["none", "tensorboard", "wandb"] = "none"

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise Usage("say how long to train: train.steps=3000, or train.minutes=5")
        for key in (
            "steps",
            "minutes",
            "batch",
            "accumulate",
            "lr",
            "clip",
            "ema",
            "log_every",
            "save_minutes",
            "save_every",
            "keep_every",
            "strikes",
        ):
            value = getattr(self, key)
            if value is not None and not value > 0:
                raise Usage(f"train.{key} is above 0, not {value}")
        if self.rate == "plateau" and not (self.looks and self.held_out):
            raise Usage("train.rate=plateau follows the held-out loss; set train.looks and train.held_out above 0, or choose another rate")
        if (
            len(self.betas) != 2
            or not all(0 <= beta < 1 for beta in self.betas)
            or (self.optimizer == "schedule_free" and not self.betas[0])
        ):
            raise Usage(f"train.betas are two numbers from 0 to below 1 (schedule_free needs the first above 0), not {self.betas}")
        for key in ("looks", "held_out", "keep", "warmup", "workers", "weight_decay", "ema_warmup"):
            if getattr(self, key) < 0:
                raise Usage(f"train.{key} is 0 or more, not {getattr(self, key)}")

    def done(self, step: int, seconds: float) -> float:
        """How much of the run is done, 0 to 1."""
        parts = [step / self.steps if self.steps else 0.0, seconds / (60 * self.minutes) if self.minutes else 0.0]
        return min(1.0, max(parts))


class Stop:
    """SIGINT and SIGTERM ask the loop to end after its step; a second one ends the process at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> "Stop":
        self.before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _ask(self, number: int, frame: Any) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def __exit__(self, *error: Any) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def stratified(n: int, generator: torch.Generator) -> Tensor:
    """t ~ U(0, 1), one in each of n equal parts, in random order: the batch covers the schedule evenly (Kingma et al. 2021, app. I.1)."""
    t = (torch.arange(n, dtype=torch.float64) + torch.rand(n, generator=generator, dtype=torch.float64)) / n
    return t[torch.randperm(n, generator=generator)]


def tuned(network: torch.nn.Module, plan: Train, device: torch.device) -> None:
    """Prepares the network for training: recomputed as the plan says, compiled too and, on a GPU, unless it says otherwise."""
    if plan.recompute and not recompute(network):
        raise Usage("train.recompute: this network is not made of fromnoise's Blocks, so there is nothing to recompute; leave it out")
    lay_weights_last(network, device)
    if plan.compile or (plan.compile is None and device.type == "cuda"):
        compiled(network, cache() / "compiled", fallback=not plan.compile)


def shown(model: Model, data: Dataset, n: int = 64) -> dict[str, Any]:
    """What n examples from all over the data ask of the model's conditions, unless those have a varied lot of their own."""
    if not any(condition.from_data for condition in model.conditions.values()):
        return {}
    batch = data.get(torch.arange(min(n, len(data))) * len(data) // min(n, len(data)))
    return {key: condition.read(batch) for key, condition in model.conditions.items()}


def train(
    config: dict[str, Any], out: str | Path, fresh: bool = False, quiet: bool = False, device: str | None = None, trust: bool = False
) -> Run:
    """Trains what the config describes into the run folder `out`, or goes on with it where it stopped.

    A batch, its noise and its levels are functions of (seed, step, rank), so an interrupted and resumed run equals an uninterrupted one.
    Raises Problem where `out` holds a run with other settings, unless `fresh`, which renames that one. `trust` allows a base parts of its own.
    """
    for key in config:
        if key not in settings.KEYS:
            raise Usage(f"no setting {key!r}{nearest(key, settings.KEYS)}")
    plan = settings.call(Train, config.get("train") or {}, "train")
    seed = settings.coerce(config.get("seed", 0), int, "seed", {})
    wanted = best(device) if device else None
    accelerator = Accelerator(cpu=wanted is not None and wanted.type == "cpu", mixed_precision="no", gradient_accumulation_steps=1)
    if wanted and wanted.type != accelerator.device.type:
        raise Usage(f"training would run on {accelerator.device}, not on {wanted}; leave --device out, or use cpu")
    rank, world = accelerator.process_index, accelerator.num_processes
    if plan.batch % (world * plan.accumulate):
        raise Usage(f"train.batch is a multiple of processes x accumulate ({world} x {plan.accumulate}), not {plan.batch}")
    share = plan.batch // world

    data = examples(config.get("data"), "train")
    unseen = examples(config.get("data"), "test") if plan.looks and plan.held_out else None
    flip = settings.coerce(config["data"].get("flip", False) if isinstance(config.get("data"), dict) else False, bool, "data: flip", {})
    keep_memory()
    before = read_base(config["base"], trust) if config.get("base") else None
    if before:
        config = inherited(config, before)
    elif config.get("adapter"):
        raise Usage("an adapter changes what a trained run has learnt; name that run: base=runs/mnist")
    config = config | described(data)
    torch.manual_seed(mixed("weights", seed))
    with settings.sound(config):
        model = build(config, data.shape, data.classes, plugins=True)
        if before:
            fill_base(model, before)
        model.remember(shown(model, unseen or data))
        for condition in model.conditions.values():
            condition.prepare(data)
        model.rehearse()
    source = settings.build(SOURCES, config.get("source", "gaussian"), "source")
    model.denoiser.autocast = precision(accelerator.device, plan.precision)
    for network in model.networks():
        tuned(network, plan, accelerator.device)  # before anything is made like its weights
    config = config | {"network": expanded(config.get("network") or "unet")}
    run, state = Run(out), State()
    if accelerator.is_main_process:
        settle(run, config, fresh, accelerator.device)
        if model.examples() and not (run.path / EXAMPLES).is_file():
            run.save_examples(model.examples())
    accelerator.wait_for_everyone()

    optimizer = OPTIMIZERS[plan.optimizer](
        (p for p in model.parameters() if p.requires_grad), plan.lr, tuple(plan.betas), plan.weight_decay
    )
    trained, optimizer = accelerator.prepare(model, optimizer)
    parameters = [p for p in model.parameters() if p.requires_grad]
    ema, plateau = EMA(parameters, plan.ema, plan.ema_warmup), Plateau()
    gradient = Gradient(accelerator, trained, parameters, plan, plan.accumulate)
    parts = {"model": model, "ema": ema, "optimizer": optimizer, "plateau": plateau}
    data = data.to(accelerator.device)
    resumed = run.checkpoint.is_file()
    if resumed:
        restore(run, state, parts)
    if accelerator.is_main_process:
        run.rewind_log(state.step or -1)  # what was logged after the checkpoint will be lived again
        if not resumed:
            remember(run, state, parts)  # so that a run that fails early has somewhere to go back to

    batches = Plan(len(data), share, seed=seed, rank=rank, world=world)
    watch = Watch(run, model, ema, parameters, unseen, plan, seed, quiet, accelerator.is_main_process)
    pick, spread = torch.Generator(), torch.Generator()  # dropped conditions; levels. On the CPU, alike for every device

    with Stop() as stop, ExitStack() as stack:
        stack.callback(watch.close)
        watch.open(state, model, data)
        if plan.done(state.step, state.seconds) >= 1 and run.finished(state.step):
            return run
        if accelerator.is_main_process:
            (run.path / "summary.json").unlink(missing_ok=True)  # of an earlier, shorter life
        stream = feed(data, batches, state.step, accelerator.device, flip, plan.workers)
        began, saved = time.perf_counter() - state.seconds, time.perf_counter()
        while plan.done(state.step, state.seconds) < 1:
            batch = next(stream)
            spread.manual_seed(mixed("levels", seed, state.step))  # all processes draw the whole batch's levels, and take their share
            rate = _rate(plan, state, plateau)
            for group in optimizer.param_groups:
                group["lr"] = rate
            eps, t = source(batch, batches.draws(state.step)), stratified(plan.batch, spread)[rank * share :][:share]
            passes = gradient.passes
            value, norm = gradient(model.noise(t), batch, eps, pick, partial(begin, pick, seed, state.step, rank))
            if gradient.passes > passes:
                watch.event(state, "memory", f"it ran out: each batch now goes through in {gradient.passes} parts, with the same result")
            state.step, state.images = state.step + 1, state.images + plan.batch
            if math.isfinite(norm):
                state.strikes = 0
                optimizer.step()
                if state.step % AVERAGED == 0:
                    ema.update(parameters, state.images)
            else:
                watch.event(state, "skipped", why := diagnosis(batch, value, norm))
                state.strikes, state.skipped = state.strikes + 1, state.skipped + 1
                if state.strikes >= plan.strikes:
                    go_back(run, state, parts, why)
                    watch.event(
                        state, "rolled back", f"{plan.strikes} such steps in a row; the rate is now {state.factor:g} of what was asked"
                    )
                    stream = feed(data, batches, state.step, accelerator.device, flip, plan.workers)
            optimizer.zero_grad(set_to_none=True)

            state.seconds, asked = _agreed(accelerator, time.perf_counter() - began, stop.signal)
            done = plan.done(state.step, state.seconds)
            if state.strikes == 0:
                watch.step(state, value, norm, rate, done)
            if watch.due(state, done):
                held_out = watch.look(state)
                watch.looking, _ = _agreed(accelerator, watch.looking, None)  # so that all processes look at the same steps
                if plan.rate == "plateau" and held_out is not None:
                    plateau.look(held_out)
                if accelerator.is_main_process:
                    keep_best(run, state.step, model, ema, parameters, held_out)
            state.seconds, _ = _agreed(accelerator, time.perf_counter() - began, None)
            every = any(n and state.step % n == 0 for n in (plan.save_every, plan.keep_every))
            due = every or time.perf_counter() - saved > 60 * plan.save_minutes
            if asked or (due and not state.strikes):  # never over the last good one
                save(run, state, parts, parameters, plan.keep, plan.keep_every, accelerator.is_main_process)
                saved = time.perf_counter()
            if asked:
                watch.stopped(state, int(asked))
                raise Stopped(run, int(asked))
        ema.update(parameters, state.images)
        save(run, state, parts, parameters, plan.keep, plan.keep_every, accelerator.is_main_process)
        held_out = watch.look(state) if plan.looks else None
        if accelerator.is_main_process:
            keep_best(run, state.step, model, ema, parameters, held_out)
        watch.finish(state, held_out)
    accelerator.wait_for_everyone()
    return run


class Stopped(Problem):
    """Training was asked to stop, and has saved."""

    def __init__(self, run: Run, number: int):
        super().__init__(f"stopped and saved in {run.path}; the same command goes on from there")
        self.exit_code = 128 + number


def begin(pick: torch.Generator, seed: int, step: int, rank: int) -> None:
    """Which conditions are dropped, and what dropout drops, as functions of (seed, step, rank)."""
    pick.manual_seed(mixed("conditions", seed, step, rank))
    torch.manual_seed(mixed("dropout", seed, step, rank))


def _rate(plan: Train, state: State, plateau: Plateau) -> float:
    rising = min(1.0, (state.step + 1) / plan.warmup) if plan.warmup else 1.0
    return plan.lr * rising * RATES[plan.rate](plan.done(state.step, state.seconds)) * plateau.factor * state.factor


def _agreed(accelerator: Accelerator, seconds: float, asked: int | None) -> tuple[float, int]:
    """The processes' common clock (the latest) and whether any was asked to stop, so that all take the same way."""
    if accelerator.num_processes == 1:
        return seconds, asked or 0
    both = torch.tensor([seconds, asked or 0], dtype=torch.float32, device=accelerator.device)
    return tuple(accelerator.gather(both[None]).amax(0).tolist())  # type: ignore[return-value]
