"""Drawing samples: the denoiser that the conditions and guidance make, and the walk down the levels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..diffusion import Bound, Denoise, Last, Seeded, guided, inpainted
from ..errors import Problem, Usage, nearest
from ..samplers import stepper
from .sampling import Sampling


class NotFinite(Problem):
    """Samples that hold NaN or infinity, which are no pictures."""


Steps = Iterator[tuple[Tensor, Tensor]]


def sample(model: Any, n: int, sampling: Sampling, conditions: Mapping[str, Any], progress: Callable[[int], Any] | None = None) -> Tensor:
    """n samples (n, C, *S) of a `Model` in [-1, 1] (points, and signals with units, as they are), in batches of `sampling.batch`; `progress(done)` is called
    after each step.

    conditions: {key: values of n samples, or None}, as `Model.with_defaults` gives them.
    """
    parts = []
    for first in range(0, n, sampling.batch):
        rows = slice(first, min(first + sampling.batch, n))
        mine = {key: None if value is None else value[rows] for key, value in conditions.items()}
        own = replace(sampling, first=sampling.first + first, start=_part(sampling.start, rows, n), init=_part(sampling.init, rows, n))
        if sampling.negative:
            own = replace(own, negative={key: _part(value, rows, n) for key, value in sampling.negative.items()})
        total = max(1, round(own.strength * own.steps)) if own.init is not None else own.steps
        for i, (x, _) in enumerate(trajectory(model, rows.stop - first, own, mine), 1):  # noqa: B007
            if progress and i < total:
                progress(first + (rows.stop - first) * i // total)
        with torch.no_grad():
            x = model.decode(x)
        parts.append(model.units.held(x) if model.units else x.clamp(-1, 1) if x.ndim > 2 else x)
        if progress:
            progress(rows.stop)
    return torch.cat(parts)


def trajectory(model: Any, n: int, sampling: Sampling, conditions: Mapping[str, Any]) -> Steps:
    """(x, x0) after every step of n samples on their way from noise to data, each (n, C, *S)."""
    numbers, last = range(sampling.first, sampling.first + n), Last()
    with _evaluating(model, sampling.weak):
        denoise = guided_denoiser(model, n, sampling, conditions, last)
    denoise = sampling.clip_x0(sampling.guide(denoise, numbers) if sampling.guide else denoise)
    for key, value in conditions.items():
        given = None if value is None else model.conditions[key].known(value)
        denoise = inpainted(denoise, *in_latents(model, given[0], 1 - given[1])) if given else denoise
    denoise, schedule = last.of(denoise), model.sampling_schedule(sampling)
    levels, x = schedule.levels(sampling.steps), model.start(n, sampling.seed, sampling.first, schedule)
    if sampling.start is not None:
        x = sampling.start.to(x).expand_as(x)
    if sampling.init is not None:
        levels = levels[-1 - max(1, round(sampling.strength * (len(levels) - 1))) :]
        z = model.autoencoder.encode(sampling.init.to(x))
        x = levels[0].mix(z.expand_as(x), model.eps(n, sampling.seed, sampling.first).to(x))
    randn = Seeded(sampling.seed ^ (1 << 63), numbers)  # a stream of its own, apart from the start's
    return _finite(inference_mode(model, stepper(sampling.sampler, randn, sampling.options)(denoise, x, levels), sampling.weak), model, sampling)


def _finite(walk: Steps, model: Any, sampling: Sampling) -> Steps:
    """The walk; raises NotFinite at its end where there are no samples, with the cause."""
    x = torch.zeros(())
    for x, x0 in walk:
        yield x, x0
    if not x.isfinite().all():
        bad = next((name for name, weights in model.named_parameters() if not weights.isfinite().all()), None)
        cause = "they do not converge: take more steps, or another sampler"
        if bad:
            cause = f"the model's own weights are not ({bad}): take earlier ones, such as weights/best"
        elif sampling.guide or sampling.guidance != 1:
            cause = f"guidance ({sampling.guidance:g}) drives them apart: take less of it, more steps, or clip: dynamic"
        raise NotFinite(f"the samples are not finite after {sampling.steps} steps of {getattr(sampling.sampler, '__name__', sampling.sampler)}; {cause}")


def guided_denoiser(model: Any, n: int, sampling: Sampling, conditions: Mapping[str, Any], last: Last | None = None) -> Denoise:
    """The denoiser of n samples under conditions, guided away from no conditions, from negative ones, or from another model; all of them see the `last`
    estimate where they are self-conditioned, and none where there is no walk that has one."""
    if sampling.guidance == 1 and (sampling.negative or sampling.weak is not None):
        raise Usage("guidance leads away from what is negative, or from a weaker model, and at 1 there is none; set it above 1")
    controls = [key for key, condition in model.conditions.items() if not condition.guidable]
    for key in sampling.control:
        if key not in controls:
            raise Usage(f"this model has no control {key!r}" + (nearest(key, controls) if controls else ""))
    strong = Bound(model.denoiser, model.context(n, conditions).weight_controls(sampling.control), last)
    if sampling.guidance == 1:
        return strong
    weak, kept = sampling.weak, {key: conditions.get(key) for key in controls} | dict(sampling.negative or {})
    if weak is None and len(controls) == len(model.conditions):
        raise Usage("this model has no condition to guide by; leave guidance at 1")
    if weak is not None:
        if weak.shape != model.shape:
            raise Usage(f"the model to guide against makes {weak.shape}, this one {model.shape}; name one of the same data")
        kept = {key: value for key, value in conditions.items() if key in weak.conditions}
    other = model if weak is None else weak
    context = other.context(n, kept).weight_controls(sampling.control)
    return guided(strong, Bound(other.denoiser, context, last), sampling.guidance, sampling.low, sampling.high, sampling.rescale)


def in_latents(model: Any, known: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures (n, C, *S) of which the part where mask = 0 is known, and the mask, as latents: known where nothing of what they stand for is not."""
    if model.latent_shape == model.shape:
        return known, mask
    with torch.no_grad():
        z = model.autoencoder.encode(known.to(model.device).float())
    return z, model.autoencoder.holes(mask.to(z).amax(1, keepdim=True), z.shape[2:])


def check_images(shape: Sequence[int], images: Tensor, n: int) -> None:
    """Raises Usage where images for n samples, one for all or one for each, are of another shape or number."""
    if tuple(images.shape[1:]) != tuple(shape):
        raise Usage(f"the image is {tuple(images.shape[1:])}, the model's samples are {tuple(shape)}; resize it first")
    if len(images) not in (1, n):
        raise Usage(f"{n} samples start from one image or {n} of them, not {len(images)}")


def inference_mode(model: Any, walk: Steps, weak: Any = None) -> Steps:
    """The walk, with the model (and a weaker one beside it) in evaluation mode and no gradients kept."""
    while True:  # neither mode may leak into the caller's code between two steps
        with _evaluating(model, weak):
            step = next(walk, None)
        if step is None:
            return
        yield step


@contextmanager
def _evaluating(*models: Any) -> Iterator[None]:
    were = [(model, model.training) for model in models if model is not None]
    try:
        with torch.no_grad():
            for model, _ in were:
                model.train(False)
            yield
    finally:
        for model, was in were:
            model.train(was)


def _part(values: Any, rows: slice, n: int) -> Any:
    """What belongs to some of n samples; one value, or one example, for all is theirs too."""
    return values[rows] if isinstance(values, (Tensor, list, tuple)) and len(values) == n > 1 else values
