"""The forward process, from data to noise, and the reverse process, from noise to data."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ..data import Dataset
from ..diffusion import Level, Schedule, Seeded, Table
from ..errors import Usage
from ..model import Model, Sampling
from .animation import gif
from .media import at_moment, medium_of, tiles
from .picture import evenly, sheet
from .samples import said
from .strip import joined, strip, titled

CROWD, CLOUD = 256, 1000  # examples behind a mean, points in a scatter
LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)  # at which an estimate is shown
FAR = 40  # |log-SNR| from which it is written as infinite
FRAMES = 32  # of a GIF, at most
SMALL, WIDE = 32, 260  # pixels: of a GIF's tile where it is enlarged, and of a panel where n is not named; noise does not compress


class Moment(NamedTuple):
    """Where a walk is: x (N, C, *S) at `level`, and the clean estimate x0 that the model makes of it there."""

    level: Level
    x: Tensor
    x0: Tensor


def unit_variance(x: Tensor, level: Level) -> Tensor:
    """x in frame `vp`, where it keeps about unit variance at every level and so fits on one grey scale."""
    return x.detach().float().cpu() / float(torch.hypot(level.alpha, level.sigma))


def blended(model: Model, x: Tensor, level: Level) -> Tensor:
    """x of a model as it is drawn: with unit variance; where its source is data, as a blend whose shares alpha and sigma add up to 1."""
    return unit_variance(x, level) if model.source.key is None else x.detach().float().cpu() / float(level.alpha + level.sigma)


@torch.no_grad()
def decoded(model: Model, z: Tensor) -> Tensor:
    """What latents (B, C', *S') stand for, (B, C, *S), on the CPU."""
    return model.decode(z.to(model.device).float()).cpu()


def named(schedule: Schedule, level: Level) -> str:
    """A level in words: its time t on the schedule, and its log-SNR, log(alpha² / sigma²)."""
    if level.clean:
        return "t 0\nlog-SNR ∞"
    t = min(max((float(schedule.time(level)) - schedule.low) / (schedule.high - schedule.low), 0), 1)
    snr = 2 * float(level.half_logsnr)
    words = f"{snr:.1f}".replace("-", "−") if abs(snr) < FAR else "∞" if snr > 0 else "−∞"
    return f"{timed(schedule, t, level)}\nlog-SNR {words}"


def timed(schedule: Schedule, t: float, level: Level) -> str:
    """A time in words: t, and beside it the step where the schedule is a table of so many, counted from 0 as DDPM does."""
    return f"t {t:.2f}" + (f" · step {round(float(schedule.index(level)))}" if isinstance(schedule, Table) else "")


def examples(data: Dataset | Tensor, n: int) -> dict[str, Any]:
    """n examples spread evenly over a dataset (sets are often sorted by class), or the first n of a batch, as a dict with x."""
    if n < 1:
        raise Usage(f"show at least 1 sample, not {n}")
    if isinstance(data, Tensor):
        return {"x": data[:n].float().cpu()}
    count = min(n, len(data))
    return data.get((torch.arange(count) * len(data)) // count)


def number(shape: tuple[int, ...], n: int | None, usual: int) -> int:
    """How many samples to draw where n may be left open: the usual number, but a cloud of points."""
    return n if n is not None else CLOUD if len(shape) == 1 else usual


def forward(data: Dataset | Tensor, schedule: Schedule, times: int | Iterable[float] = 8, n: int = 5, seed: int = 0) -> Image.Image:
    """The forward process: x_t = alpha_t x0 + sigma_t eps in columns over t, a sample a row, and the mean of up to CROWD examples below.

    data: a dataset or a batch x0 (N, C, *S). times: how many, evenly from 0 to 1, or the times themselves. Drawn in frame `vp`.
    """
    times = torch.linspace(0, 1, times).tolist() if isinstance(times, int) else list(times)
    levels = [schedule(torch.tensor(t, dtype=torch.float64)) for t in times]
    x0, medium = examples(data, n)["x"].cpu(), getattr(data, "medium", None)
    crowd = examples(data, CLOUD if x0.ndim == 2 else CROWD)["x"].cpu()
    eps, noise = (Seeded(seed, range(len(x)))(x) for x in (x0, crowd))
    if x0.ndim == 2:  # points are a cloud: all of them in one panel, the mean is seen by eye
        clouds = [tiles(unit_variance(level.mix(crowd, noise), level), None, medium)[0] for level in levels]
        return strip([clouds], columns=_over(schedule, times, levels))
    columns = [tiles(unit_variance(level.mix(x0, eps), level), None, medium) for level in levels]
    mean = [tiles(unit_variance(level.mix(crowd, noise).mean(0, keepdim=True), level), None, medium)[0] for level in levels]
    rows = [*zip(*columns, strict=True)]
    names = [f"x{i + 1}".translate(LOWERED) for i in range(len(rows))] if len(rows) > 1 else ["x"]
    return strip([*rows, None, mean], [*names, f"mean\nof {len(crowd)}"], _over(schedule, times, levels))


def _over(schedule: Schedule, times: Sequence[float], levels: list[Level]) -> list[str]:
    return [f"{timed(schedule, t, level)}\n" + named(schedule, level).split("\n")[1] for t, level in zip(times, levels, strict=True)]


def moments(model: Model, n: int, count: int, sampling: Sampling | None = None, **conditions: Any) -> Iterator[Moment]:
    """At most `count` moments of a walk from noise to data, evenly spread, the sample last; a walk from an image starts after its first step."""
    sampling, conditions = sampling or model.sampling, model.with_defaults(n, conditions)
    schedule, steps = model.sampling_schedule(sampling), sampling.steps
    total = steps if sampling.init is None else max(1, round(sampling.strength * steps))
    levels, wanted = schedule.levels(steps)[-1 - total :], set(evenly(total + 1, count))
    x = model.start(n, sampling.seed, sampling.first, schedule)
    x = x if sampling.start is None else sampling.start.expand_as(x)
    for i, (after, x0) in enumerate(model.trajectory(n, sampling, **conditions)):
        if i in wanted and (i or sampling.init is None):
            yield Moment(levels[i], x.cpu(), x0.cpu())
        x = after
    yield Moment(levels[-1], x.cpu(), x.cpu())


def reverse(model: Model, n: int | None = None, snapshots: int = 9, sampling: Sampling | None = None, **conditions: Any) -> Image.Image:
    """The reverse process: snapshots of n samples from noise (left) to data (right), x above and the model's estimate of x0 below.

    n: 3 by default, or a cloud of points. See `blended` for how x is drawn. Where the model's source is data, the walk begins at its examples.
    """
    walk = list(moments(model, number(model.shape, n, 3), snapshots, sampling, **conditions))
    both = [blended(model, m.x, m.level) for m in walk], [m.x0 for m in walk]
    noisy, clean = ([tiles(decoded(model, z), None, model.medium, model.units) for z in part] for part in both)
    pairs = zip(zip(*noisy, strict=True), zip(*clean, strict=True), strict=True)
    rows = [row for x, x0 in pairs for row in (x, x0, None)]
    schedule = model.sampling_schedule(sampling)
    words = said(model.with_defaults(len(noisy[0]), conditions), model.classes) if len(model.shape) > 1 else []
    names = [name for i in range(len(noisy[0])) for name in ("\n".join(["x", *words[i : i + 1]]), "estimate of x₀")]
    return strip(rows[:-1], names, [named(schedule, m.level) for m in walk])


def fitting(model: Model) -> int:
    """How many samples keep a film's file small."""
    edge, pictures = max(model.shape[-2:]), len(model.shape) == 3 or medium_of(model.shape, model.medium).frames
    return 4 if not pictures else max(1, min(6, WIDE // (max(1, round(SMALL / edge)) * edge))) ** 2


def reverse_gif(
    model: Model, path: str | Path, n: int | None = None, seconds: float = 4.0, sampling: Sampling | None = None, **conditions: Any
) -> Path:
    """The reverse process as a GIF: n samples (as many as keep the file small) at x on the left, the model's estimates of x0 on the right. Clips play on meanwhile,
    and to their end from where they are wholly denoised."""
    schedule, shown, frames = model.sampling_schedule(sampling), medium_of(model.shape, model.medium).frames, []
    scale = max(1, round(SMALL / max(model.shape[-2:]))) if len(model.shape) == 3 or shown else None
    for m in moments(model, number(model.shape, n, fitting(model)), FRAMES, sampling, **conditions):
        parts, words = [decoded(model, z) for z in (blended(model, m.x, m.level), m.x0)], named(schedule, m.level).replace("\n", "   ")
        for _ in range(len(shown(parts[0])) if shown and m.level.clean else 1):
            left, right = (sheet(tiles(x, scale, medium, model.units)) for x, medium in (at_moment(part, len(frames), model.medium) for part in parts))
            frames.append(joined(titled(left, "x   " + words), titled(right, "the model's estimate of x₀"), gap=10))
    return gif(frames, path, seconds)


def estimate(
    model: Model, data: Dataset | Tensor, times: Sequence[float] = TIMES, index: int = 0, seed: int = 0, **conditions: Any
) -> Image.Image:
    """What one call of the model makes of x_t: the true x0 and eps, the blend, and the estimates with their mean absolute (l1) errors.

    One example of the data (a batch of points), blended with the same eps, of the model's source, at each of `times`. Conditions that are not
    mentioned are the example's own.
    """
    if isinstance(data, Tensor):
        batch = {"x": data if data.ndim == 2 else data[index : index + 1]}
    else:
        if not 0 <= index < len(data):
            raise Usage(f"there is no example {index}: {data.name} has 0 to {len(data) - 1:,}")
        batch = data.get(torch.arange(min(CROWD, len(data))) if len(data.shape) == 1 else torch.tensor([index]))
    with torch.no_grad():
        x0 = model.autoencoder.encode(batch["x"].float().to(model.device))
    own = {key: condition.read(batch) for key, condition in model.conditions.items() if condition.source in batch}
    denoise = model.denoise(len(x0), **own | conditions)
    eps = model.source.start(len(x0), x0.shape[1:], Seeded(seed, range(len(x0))), batch.get(model.source.key)).to(x0)
    levels = [model.noise(torch.tensor(t, dtype=torch.float64)) for t in times]
    columns, errors = [], []
    for level in levels:
        x = level.mix(x0, eps)
        with torch.no_grad():
            found = denoise(x, level)
        columns.append([tiles(decoded(model, part), None, model.medium, model.units)[0] for part in (x0, eps, blended(model, x, level), *found)])
        errors.append([f"l1 {float((part - true).abs().mean()):.3f}" for part, true in zip(found, (x0, eps), strict=True)])
    true, estimated = (list(zip(*(column[part] for column in columns), strict=True)) for part in (slice(3), slice(3, 5)))
    names, captions = ["x₀", "ε", "xₜ", "estimate of x₀", "estimate of ε"], [(), (), (), *zip(*errors, strict=True)]
    return strip([*true, None, *estimated], names, _over(model.noise, times, levels), captions)
