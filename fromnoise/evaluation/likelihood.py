"""How likely a model finds held-out examples."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch
from torch import Tensor

from ..data import Dataset
from ..diffusion import Coupled, Denoise, Gaussian, Level, Schedule, Seeded
from ..diffusion.likelihood import bits_per_dim, log_likelihood
from ..errors import Usage
from ..model import Model, Sampling, guided_denoiser
from .card import Result
from .examples import check_data, read_conditions, spread
from .protocol import Progress

# Of sigma / alpha: nearer, noise is less than the cell of an 8-bit level; farther, of data of about 1 no more is left than 1e-5 bits.
NEAREST, FARTHEST = 0.002, 200.0
PICTURES = "256 levels a channel, with uniform noise of one level (Theis et al. 2016)"


@dataclass(frozen=True)
class Likelihood(Result):
    """Bits a dimension of n held-out examples, the fewer the likelier; `error` is the standard error of the mean.

    step_error  what the finite number of steps leaves, by the first batch in half as many: |difference| / (ratio² - 1), Heun's method being of order 2
    """

    n: int
    bits_per_dim: float
    error: float
    step_error: float
    protocol: str

    def lines(self) -> list[str]:
        found = f"{self.bits_per_dim:.4f} ± {self.error:.2g} bits/dim of {self.n:,} held-out examples"
        return [f"{found}; the steps leave an error of about {self.step_error:.1g}", self.protocol]


@torch.no_grad()
def likelihood(
    model: Model, data: Dataset, n: int, sampling: Sampling, probes: int | None = None, seed: int = 0, progress: Progress = lambda done, total: None
) -> Likelihood:
    """Bits a dimension of n examples (all there are, where they are fewer) under the model and their own conditions, by the probability-flow ODE.

    sampling  its steps (of Heun's method, two evaluations each), batch, control, and schedule, of which the range alone counts; the likelihood
              is the model's own, so guidance and clip take no part
    probes    how many random directions estimate each divergence (Hutchinson); 0 is exact. None: 1 for pictures, exact for points
    seed      of the probes, and of the noise that makes a picture's levels continuous. See `diffusion.likelihood.log_likelihood`.
    progress  (done, total) is called before every evaluation of the network
    A self-conditioned network sees no estimate here, so that what it predicts is a function of x.
    """
    check_data(model, data)
    schedule, steps, pictures = model.sampling_schedule(sampling), sampling.steps, len(model.shape) > 1
    if model.latent_shape != model.shape:
        raise Usage("the likelihood of pictures is not that of their latents, which this model diffuses; there is none to be had of it")
    if model.source not in (Gaussian(), Coupled()):
        raise Usage(f"the likelihood needs a model that starts from standard normal noise, not from source {model.source}")
    n, probes = min(n, len(data)), int(pictures) if probes is None else probes
    if min(n, steps) < 2 or probes < 0:
        raise Usage(f"the likelihood takes at least 2 examples, 2 steps and 0 probes, not {n}, {steps} and {probes}")
    parts, half, done = [], steps // 2, count()
    total = 2 * max(probes, 1) * (half + steps * math.ceil(n / sampling.batch))
    with _exact(model):
        for part in spread(n, len(data)).split(sampling.batch):
            batch = data.get(part)
            x0, noise = batch["x"].to(model.device), Seeded(seed, part.tolist())
            if pictures:
                x0 = x0 + (torch.special.ndtr(noise(x0)) - 0.5) * 2 / 255
            own = replace(sampling, guidance=1.0, weak=None, negative=None)
            denoise = _counted(guided_denoiser(model, len(part), own, read_conditions(model, batch)), lambda: progress(next(done), total))
            signs = [torch.where(noise(x0) < 0, -1.0, 1.0) for _ in range(probes)]
            for some in (steps,) if parts else (half, steps):  # the first in half as many as well
                levels = levels_of(schedule, some)
                found = [log_likelihood(denoise, x0, levels, sign, model.denoiser.data_std) for sign in signs or [None]]
                parts.append(torch.stack(found).double().mean(0).cpu())
    coarse, log_p, dims = parts[0], torch.cat(parts[1:]), math.prod(model.shape)
    left = (log_p[: len(coarse)] - coarse).mean().abs().item() / (dims * math.log(2)) / ((steps / half) ** 2 - 1)
    bits: Tensor = bits_per_dim(log_p, dims) if pictures else -log_p / (dims * math.log(2))
    how = f"divergence by {probes} probe{'s' * (probes > 1)} an example" if probes else "exact divergence"
    protocol = f"Probability-flow ODE by Heun's method in {steps} steps even in log-SNR, {how}, no guidance; {PICTURES if pictures else 'the density of points'}."
    return Likelihood(n, bits.mean().item(), bits.std().item() / n**0.5, left, protocol)


def _counted(denoise: Denoise, tick: Callable[[], Any]) -> Denoise:
    """The denoiser, with a `tick()` before every evaluation."""

    def ticked(x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        tick()
        return denoise(x, level)

    return ticked


def levels_of(schedule: Schedule, steps: int) -> list[Level]:
    """steps + 1 levels even in log-SNR over the range of a schedule, however its own lie, within NEAREST and FARTHEST."""
    low, high = (float(level.sigma / level.alpha) for level in (schedule(torch.zeros(())), schedule(torch.ones(()))))
    sigma = torch.linspace(math.log(min(high, FARTHEST)), math.log(max(low, NEAREST)), steps + 1, dtype=torch.float64).exp()
    return [Level(torch.ones_like(s), s) for s in sigma]


@contextmanager
def _exact(model: Model) -> Iterator[None]:
    """The model in evaluation mode and in float32: a likelihood must not depend on the machine that measures it."""
    was, precision = model.training, model.denoiser.autocast
    model.eval().denoiser.autocast = None
    try:
        yield
    finally:
        model.train(was).denoiser.autocast = precision
