"""What a recipe will cost on this machine: counted where counting is possible, measured for some seconds where it is not."""

import copy
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .. import config as settings
from ..data import Plan, feed
from ..data.examples import described, examples
from ..device import best, keep_memory, machine, peak_memory, precision, reset_peak
from ..diffusion import SOURCES
from ..draws import Draws
from ..errors import Usage
from ..model import build, inherited, read_base
from ..networks import NOTHING, Context, merge
from ..progress import byte_size, duration
from .ema import EMA
from .loop import Train, begin, shown, stratified, tuned
from .optim import OPTIMIZERS
from .step import Gradient

BYTES = 4  # of a float32


@dataclass(frozen=True)
class Estimate:
    """What training a recipe takes.

    parameters  of network and conditions;  flop  of one example going forward through the network, multiplications and additions counted apart
    fixed       bytes of weights, gradients, the optimizer's state and the average;  peak  bytes at most while measuring, None where unknown
    batch, rows examples a step as asked, and as measured;  seconds  a step of `rows`
    run_seconds  the whole run's length;  examples  how many the data has
    drawn       samples a second, as the recipe draws them;  how  in words
    """

    parameters: int
    flop: float
    fixed: int
    peak: int | None
    batch: int
    rows: int
    seconds: float
    run_seconds: float
    examples: int
    drawn: float
    how: str
    machine: str

    @property
    def rate(self) -> float:
        """Examples a second."""
        return self.rows / self.seconds

    @property
    def images(self) -> float:
        """Examples seen in the whole run."""
        return self.rate * self.run_seconds

    def lines(self) -> list[tuple[str, str]]:
        """(what, how much), in words."""
        peak = "not known on this device" if self.peak is None else byte_size(self.peak)
        rows = f"{self.rate:,.1f} examples/s at {self.rows} a pass ({1e3 * self.seconds:,.0f} ms)"
        return [
            ("parameters", f"{self.parameters:,}"),
            ("network", f"{self.flop / 1e9:,.3f} GFLOP an example forward, about three times that for a training step"),
            ("weights, gradients, optimizer, average", byte_size(self.fixed)),
            ("peak memory while measuring", peak),
            ("speed", rows),
            ("rate of computation", f"{3 * self.flop * self.rate / 1e12:,.3f} TFLOP/s"),
            ("the whole run", f"{duration(self.run_seconds)}: {self.images:,.0f} examples, {self.images / self.examples:,.1f} times the data"),
            ("sampling", f"{self.drawn:,.2f} samples/s by {self.how}"),
            ("machine", self.machine),
        ]


def flop(network: nn.Module, shape: Sequence[int], branches: Sequence[nn.Module] = (), context: Context = NOTHING) -> float:
    """Floating-point operations of one example (C, *S), told the context, going forward through a network and its control branches, on no device."""
    network = merge(copy.deepcopy(network))  # a change of weights is made once a pass, not for each example
    network, *branches = (part.to("meta") for part in (network, *(copy.deepcopy(branch) for branch in branches)))
    x, clock = torch.empty(1, *shape, device="meta"), torch.empty(1, device="meta")
    told = Context(**{key: value.to("meta") for key, value in vars(context).items() if isinstance(value, torch.Tensor)})
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x, clock, told)
        for branch in branches:
            branch(x, clock, told, torch.empty(1, branch.channels, *shape[1:], device="meta"))
    return float(counter.get_total_flops())


def estimate(config: Mapping[str, Any], seconds: float = 10.0, device: str | None = None, trust: bool = False) -> Estimate:
    """Counts, and trains for `seconds` on the recipe's data without keeping anything; raises Usage for what cannot be trained."""
    if not seconds > 0:
        raise Usage(f"measure for some seconds, not {seconds:g}")
    plan = settings.call(Train, config.get("train") or {}, "train")
    wanted = best(device)
    accelerator = Accelerator(cpu=wanted.type == "cpu", mixed_precision="no")
    data = examples(config.get("data"), "train")
    keep_memory()
    if config.get("base"):
        config = inherited(config, read_base(config["base"], trust))
    with settings.sound(config):
        model = build(config | described(data), data.shape, data.classes, plugins=True)
        model.remember(shown(model, data))
        network, *branches = model.networks()
        with torch.no_grad():
            work = flop(network, model.shape, branches, model.context(1, model.asked(1, {})))
    model.denoiser.autocast = precision(accelerator.device, plan.precision)
    for part in model.networks():
        tuned(part, plan, accelerator.device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = OPTIMIZERS[plan.optimizer](parameters, plan.lr, tuple(plan.betas), plan.weight_decay)
    trained, optimizer = accelerator.prepare(model, optimizer)
    ema, gradient = EMA(parameters, plan.ema, plan.ema_warmup), Gradient(accelerator, trained, parameters, plan, 1)
    source = settings.build(SOURCES, config.get("source", "gaussian"), "source")
    stream = feed(data.to(accelerator.device), Plan(len(data), plan.batch), 0, accelerator.device, workers=plan.workers)
    pick, spread = torch.Generator(), torch.Generator()
    reset_peak(accelerator.device)

    def step(number: int, rows: int) -> float:
        began = _now(accelerator.device)
        batch = {key: value[:rows] for key, value in next(stream).items()}
        gradient.passes = 1
        gradient(model.noise(stratified(rows, spread)), batch, source(batch, Draws.fixed(rows)), pick, partial(begin, pick, 0, number, 0))
        optimizer.step()
        ema.update(parameters, (number + 1) * rows)
        optimizer.zero_grad(set_to_none=True)
        return _now(accelerator.device) - began

    rows = min(2, plan.batch)
    first = min(step(0, rows), step(1, rows))
    rows = max(1, min(plan.batch // plan.accumulate, int(seconds / 5 * rows / first)))
    step(2, rows)  # what a new shape costs once
    times: list[float] = []
    while sum(times) < seconds and len(times) < 1000:
        times.append(step(3 + len(times), rows))
    optimized = sum(v.numel() for state in optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor))
    count, learnt = (sum(p.numel() for p in those) for those in (model.parameters(), parameters))
    peak = peak_memory(accelerator.device)
    next(model.trajectory(rows))  # what a new shape costs once
    began = _now(accelerator.device)
    walked = sum(1 for _ in islice(model.trajectory(rows), 2))
    drawn = rows * walked / model.sampling.steps / (_now(accelerator.device) - began)
    second = statistics.median(times)
    ends = [plan.steps * plan.batch * second / rows] if plan.steps else []
    ends += [60 * plan.minutes] if plan.minutes else []
    name = machine(accelerator.device)
    return Estimate(
        parameters=count,
        flop=work,
        fixed=BYTES * (count + 2 * learnt + optimized),
        peak=peak,
        batch=plan.batch,
        rows=rows,
        seconds=second,
        run_seconds=min(ends),
        examples=len(data),
        drawn=drawn,
        how=f"{model.sampling.name} in {model.sampling.steps} steps"
        + (f", guidance {model.sampling.guidance:g}" if model.sampling.guidance != 1 else ""),
        machine=f"{name['machine']}, {name['threads']} threads, torch {name['torch']}",
    )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
