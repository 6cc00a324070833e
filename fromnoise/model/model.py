"""What a model is: denoiser, conditions, schedules and source of noise together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..autoencoders import Autoencoder, Identity, drawn
from ..conditions import Condition
from ..data.units import Units
from ..diffusion import Bound, Denoise, Denoiser, Gaussian, Level, Schedule, Seeded, Source, loss
from ..diffusion import predict as prediction
from ..diffusion.loss import Weight, flat
from ..draws import Draws
from ..errors import Usage, nearest
from ..networks import NOTHING, Context
from . import draw
from .sampling import WORDS, Sampling

STILLS = "_stills"  # in a batch: that the frames of its clips are pictures of their own


class Model(nn.Module):
    """What a run learns and sampling uses.

    noise     the schedule of training, and of sampling unless `sampling.schedule` is another
    shape     (C, *S) of an example, or (D,) of a point;  classes  their names, if any
    autoencoder  what lies between examples and what is diffused, z of `latent_shape`
    source    what data is blended with in training, and what samples start from
    sampling  how samples are drawn unless it is said otherwise
    medium    how examples are shown and written, a name of figures.MEDIA, where their shape does not say;  rate  frames a second of clips, 0 where unknown
    units     what the channels of signals and volumes are called, and how their own values come back; None where they have none
    forcing   the share of training's clips whose frames had noise levels of their own; 0: none
    unsaved   the names of weights that are its base's, and stay as they are
    source_values     examples of the source (k, C, *S) that samples start from in turn, where it is data itself
    """

    def __init__(self, denoiser: Denoiser, noise: Schedule, shape: Sequence[int], conditions: Sequence[Condition] = (),
                 source: Source | None = None, sampling: Sampling | None = None, classes: Sequence[str] = (),
                 autoencoder: Autoencoder | None = None):  # fmt: skip
        super().__init__()
        self.denoiser, self.noise, self.source, self.sampling = denoiser, noise, source or Gaussian(), sampling or Sampling()
        self.autoencoder = autoencoder or Identity()
        for noisiest in (noise(torch.ones(())), self.sampling_schedule(self.sampling)(torch.ones(()))):
            prediction.check(denoiser.predict, noisiest)
            denoiser.check(noisiest)
        for key in (condition.key for condition in conditions):
            if key in (*WORDS, "n", "sampling", "progress"):
                raise Usage(f"a condition cannot be called {key}, which is a word of sampling already; give it another key")
        self.conditions = nn.ModuleDict({condition.key: condition for condition in conditions})
        self.shape, self.classes = tuple(shape), tuple(classes)
        self.latent_shape = tuple(self.autoencoder.latent_shape(self.shape))
        self.medium: str | None = None
        self.rate = self.forcing = 0.0
        self.units: Units | None = None
        self.unsaved: frozenset[str] = frozenset()
        self.source_values: Tensor | None = None

    def networks(self) -> list[nn.Module]:
        """What runs at every step: the network, and what conditions have beside it."""
        return [self.denoiser.network, *(network for condition in self.conditions.values() for network in condition.networks())]

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def autocast(self) -> torch.dtype | None:
        """The reduced precision that networks run in; see `Denoiser`."""
        return self.denoiser.autocast

    @autocast.setter
    def autocast(self, dtype: torch.dtype | None) -> None:
        self.denoiser.autocast = dtype

    # Training

    def forward(self, batch: Mapping[str, Any], level: Level, eps: Tensor | None = None, weight: Weight = flat,
                draws: Draws | None = None, **measure: Any) -> Tensor:  # fmt: skip
        """The loss of a batch {"x": (B, C, *S), "label": …} at levels (B,), conditions dropped as they say; (B,). `measure` goes to `diffusion.loss`.

        Where the batch has its latents already (`latents`), x is not looked at.
        """
        batch = self.latents(batch)
        context, n = (replace(NOTHING, stills=True) if STILLS in batch else NOTHING), len(batch["z"])
        draws = draws or Draws(("batch", int(torch.randint(1 << 62, ()))), range(n), n)
        with self.denoiser.precision(batch["x"].device):
            for condition in self.conditions.values():
                context = context.merged(condition.train_context(condition.read(batch, draws), draws))
        if self.denoiser.self_condition:
            eps = torch.randn_like(batch["z"]) if eps is None else eps
            context = self._seeing(context, level.mix(batch["z"], eps), level, draws)
        return loss(self.denoiser, batch["z"], level, context, eps, weight, **measure)

    def _seeing(self, context: Context, x: Tensor, level: Level, draws: Draws) -> Context:
        """The context with the network's own first estimate of x0, of which it learns nothing; in training in half of the batches, else with none (Chen et al.
        2022, algorithm 1)."""
        none = self.denoiser.seeing(context, x)
        if self.training and draws.chance("self-condition") < 0.5:
            return none
        with torch.no_grad():
            x0, _ = self.denoiser(x, level, none)
        return self.denoiser.seeing(context, x, x0)

    @torch.no_grad()
    def latents(self, batch: Mapping[str, Any], draws: Draws | None = None) -> Mapping[str, Any]:
        """The batch with z (B, C', *S'), the latents of x, or those of mean and log_variance that it holds in place of x: their means, or with `draws`
        drawn around them; as it is where it has them."""
        if "z" in batch:
            return batch
        if "mean" in batch:
            z = drawn(*self.autoencoder.normalised(batch["mean"], batch.get("log_variance")), draws)
        else:
            z = self.autoencoder.encode(batch["x"], draws)
        return {"x": z, **batch, "z": z}

    # Conditions

    def context(self, n: int, conditions: Mapping[str, Any]) -> Context:
        """The context of n samples; a condition that is None or left out says nothing."""
        self.check_conditions(conditions)
        merged = NOTHING
        with self.denoiser.precision(self.device):
            for key, condition in self.conditions.items():
                value = conditions.get(key)
                merged = merged.merged(condition.null(n) if value is None else condition(condition.values(value, n)))
        return merged

    def check_conditions(self, conditions: Mapping[str, Any]) -> None:
        """Raises Usage where a condition is named that the model does not have."""
        for key in conditions:
            if key not in self.conditions:
                known = nearest(key, self.conditions) if self.conditions else "; it was trained without any"
                raise Usage(f"this model has no condition {key!r}{known}")

    def denoise(self, n: int, **conditions: Any) -> Denoise:
        """(x (n, C, *S), level) -> (x0, eps) under conditions, one for all or one for each; none is the unconditional model.
        A self-conditioned one sees no estimate: that is a walk's (`trajectory`)."""
        return Bound(self.denoiser, self.context(n, conditions))

    def with_defaults(self, n: int, conditions: Mapping[str, Any]) -> dict[str, Any]:
        """The conditions of n samples, checked: as given, and where one is not mentioned a varied lot, such as every class in turn."""
        self.check_conditions(conditions)
        filled = {key: conditions[key] if key in conditions else condition.default(n) for key, condition in self.conditions.items()}
        return {key: None if value is None else self.conditions[key].values(value, n) for key, value in filled.items()}

    def unconditional(self, **conditions: Any) -> dict[str, Any]:
        """Conditions of which those that are not mentioned say nothing."""
        return {key: None for key in self.conditions} | conditions

    def set_examples(self, examples: Mapping[str, Any]) -> None:
        """Takes held-out {key: values} as what conditions say, and what samples start from, where nobody says anything."""
        for key, condition in self.conditions.items():
            condition.example_values = examples.get(key)
        self.source_values = examples.get("source")

    def examples(self) -> dict[str, Any]:
        """What `set_examples` took."""
        found = {key: condition.example_values for key, condition in self.conditions.items()} | {"source": self.source_values}
        return {key: values for key, values in found.items() if values is not None}

    # Sampling

    def sampling_schedule(self, sampling: Sampling | None = None) -> Schedule:
        """The schedule of sampling: its own, or else that of training."""
        return (sampling or self.sampling).schedule or self.noise

    def draw_source(self, batch: Mapping[str, Any], draws: Draws) -> Tensor:
        """What a batch is blended with in training, like its latents."""
        with torch.no_grad():
            own = {key: self.autoencoder.encode(batch[key]) for key in [self.source.key] if key in batch}
            return self.source({**batch, **own, "x": self.latents(batch)["z"]}, draws)

    def decode(self, z: Tensor) -> Tensor:
        """Examples (B, C, *S) of latents (B, C', *S')."""
        return self.autoencoder.decode(z, self.shape[1:])

    def start(self, n: int, seed: int = 0, first: int = 0, schedule: Schedule | None = None) -> Tensor:
        """What samples first … first + n - 1 of a seed start from, (n, C', *S'): the source at the noisiest level.

        For noise that is N(0, alpha² data_std² + sigma²), each sample's a function of (seed, its number) alone.
        """
        noisiest = (schedule or self.sampling_schedule())(torch.ones(()))
        spread = noisiest.sigma if self.source.key else torch.hypot(noisiest.alpha * self.denoiser.data_std, noisiest.sigma)
        return (spread * self.eps(n, seed, first).double()).float().to(self.device)

    def eps(self, n: int, seed: int = 0, first: int = 0) -> Tensor:
        """The source of samples first … first + n - 1 of a seed, (n, C', *S'): noise, or the latents of the source's examples in turn."""
        values = self.source_values
        if values is not None:
            values = self.autoencoder.encode(values.to(self.device).float()).cpu()
        return self.source.start(n, self.latent_shape, Seeded(seed, range(first, first + n)), values)

    def trajectory(self, n: int, sampling: Sampling | None = None, **words: Any) -> draw.Steps:
        """(z, z0) after every step of n samples on their way from noise to data, each (n, C', *S'); words as in `sample`."""
        return draw.trajectory(self, n, *self._read(n, sampling, words))

    def sample(self, n: int, sampling: Sampling | None = None, *, progress: Callable[[int], Any] | None = None, **words: Any) -> Tensor:
        """n samples (n, C, *S) in [-1, 1] (points as they are). Sample i is a function of (seed, i) and its conditions, however they are batched.

        sampling: how, the model's own unless given. words: fields of `Sampling` (sampler, steps, guidance, seed, …), and conditions by name, one value
        for all samples or one for each; a condition that is None says nothing. progress(done) is called after every step.
        """
        return draw.sample(self, n, *self._read(n, sampling, words), progress)

    def _read(self, n: int, sampling: Sampling | None, words: Mapping[str, Any]) -> tuple[Sampling, dict[str, Any]]:
        """(how to draw, the conditions) of n samples: the words of `sample`, sorted into both and checked."""
        if n < 1:
            raise Usage(f"draw at least 1 sample, not {n}")
        sampling = (sampling or self.sampling).merged({key: value for key, value in words.items() if key in WORDS})
        for images, shape in ((sampling.start, self.latent_shape), (sampling.init, self.shape)):
            if images is not None:
                draw.check_images(shape, images, n)
        return sampling, self.with_defaults(n, {key: value for key, value in words.items() if key not in WORDS})

    def dry_run(self) -> None:
        """One step of the walk that the model's own settings ask for; raises Usage where they cannot be."""
        next(self.trajectory(1))
