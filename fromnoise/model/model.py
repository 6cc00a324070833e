"""A model: denoiser, conditions and schedules together; everything that sampling needs, and nothing of training."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from .. import config as settings
from ..conditions import Condition
from ..diffusion import Bound, Denoise, Denoiser, Level, Schedule, Seeded, guided, inpainted, loss
from ..diffusion import predict as prediction
from ..diffusion.weight import Weight, flat
from ..draws import Draws
from ..errors import Usage, nearest
from ..networks import NOTHING, Context
from ..samplers import stepper
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
        draws: Draws | None = None,
        **measure: Any,
    ) -> Tensor:
        """The loss of a batch {"x": (B, C, *S), "label": …} at levels (B,), conditions dropped as they say; (B,). `measure` goes to `diffusion.loss`."""
        context, n = NOTHING, len(batch["x"])
        draws = draws or Draws(("batch", int(torch.randint(2**62, ()))), range(n), n)  # of the global stream
        with self.denoiser.precision(batch["x"].device):
            for key, condition in self.conditions.items():
                value = condition.read(batch, draws.of("condition", key))
                context = context.merged(condition.train_context(value, draws.of("drop", key)))
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

    def dry_run(self) -> None:
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


