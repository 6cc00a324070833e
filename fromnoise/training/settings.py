"""The settings of a training run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from ..config import LENGTHS, Within, bound
from ..diffusion import DISTANCES, PENALTIES, WEIGHTS
from ..errors import Usage
from .optim import OPTIMIZERS, RATES, ScheduleFreeAdamW, plateau
from .trackers import TRACKERS

MOST, TINY = 10**12, 1e-30  # steps or images that nobody lives to see; what is above 0
Some = Annotated[int, Within(1, MOST)]
AnyNumber = Annotated[int, Within(0, MOST)]
Above = Annotated[float, Within(TINY, MOST)]
Part = str | dict[str, Any] | Callable[..., Any]


@dataclass(frozen=True)
class Settings:
    """The settings of any training run; a part of `PARTS` is a name, a mapping of a name and settings, `module:Name`, or the thing itself.

    images          how long: so many examples seen;  steps  instead, so many batches
    minutes         instead, how long by the clock, which the speed of the run's first part turns into images
    batch           examples a step, over all processes;  accumulate  in how many micro-batches each process takes its share
    optimizer       called (params, lr=, betas=, weight_decay=);  lr  the peak learning rate;  rate  its course, (share of the run done) -> factor
    warmup          over how many images the rate rises; a tenth of the run's where this is longer than the whole run
    betas           the optimizer's two averages;  weight_decay  the optimizer's
    ema             the average's half-life in images; schedule_free keeps an average of its own instead
    ema_warmup      the half-life's largest share of the images seen (0: no average)
    distance        between prediction and target;  penalty  a second term, on x0 (see `diffusion.loss`), or on the reconstruction
    penalty_weight  how much the penalty counts
    clip            the largest norm of the gradient;  max_bad_steps  non-finite steps in a row before going back to the last checkpoint
    precision       auto, bf16 or fp32 of the network;  compile  torch.compile it (null: on a GPU)
    recompute       keep a block's input alone and compute it again on the way back: less memory, about a third more time
    evals           how many times in the run the loss on held-out examples is taken and a grid is drawn
    held_out        on how many of them, at most: fewer, but 16, where all these losses would take more than a twentieth of the run; 0: no such loss
    log_every       steps from one line of the log to the next;  workers  processes that read data ahead (0: none)
    save_minutes, save_every  how often all is saved, in minutes or steps;  keep, keep_every  averaged weights kept: the last few, every so many steps
    keep_best       how many of the evaluated weights of the least held-out loss are kept
    tracker         none, tensorboard or wandb, beside log.jsonl
    """

    PARTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": OPTIMIZERS, "rate": RATES, "distance": DISTANCES, "penalty": PENALTIES, "tracker": TRACKERS
    }  # fmt: skip

    images: Some | None = None
    steps: Some | None = None
    minutes: Annotated[float, Within(1e-6, 10**7)] | None = None
    batch: Annotated[int, Within(1, 1_000_000)] = 128
    accumulate: Annotated[int, Within(1, 1_000_000)] = 1
    optimizer: Part = "adamw"
    lr: Annotated[float, Within(TINY, 1000)] = 1e-3
    rate: Part = "cosine"
    warmup: AnyNumber = 12_800
    betas: list[Annotated[float, Within(0, 1)]] = field(default_factory=lambda: [0.9, 0.99])
    weight_decay: Annotated[float, Within(0, 1000)] = 0.0
    clip: Above = 1.0
    ema: Above = 500_000
    ema_warmup: Annotated[float, Within(0, MOST)] = 0.05
    distance: Part = "mse"
    penalty: Part | None = None
    penalty_weight: float = 1.0
    max_bad_steps: Some = 5
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    compile: bool | None = None
    recompute: bool = False
    evals: Annotated[int, Within(0, 100_000)] = 10
    held_out: AnyNumber = 256
    log_every: Some = 50
    save_minutes: Above = 5.0
    save_every: Some | None = None
    keep: AnyNumber = 0
    keep_every: Some | None = None
    keep_best: Some = 1
    workers: Annotated[int, Within(0, 256)] = 0
    tracker: Part = "none"

    def __post_init__(self) -> None:
        said = [key for key in LENGTHS if getattr(self, key) is not None]
        if not said:
            raise Usage("say how long to train: train.images=400000, train.steps=3000, or train.minutes=5")
        if len(said) > 1:
            raise Usage(f"one length at a time: train.{said[0]} and train.{said[1]} are both set; leave one out")
        if self.rates_by_loss and not (self.evals and self.held_out):
            raise Usage("train.rate=plateau follows the held-out loss; set train.evals and train.held_out above 0, or choose another rate")
        if self.penalty is None and self.penalty_weight != 1:
            known = ", ".join(self.PARTS["penalty"])
            raise Usage(f"train.penalty_weight says how much a penalty counts, and there is none; set train.penalty ({known}), or leave it out")
        within = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        if not within or (self.named("optimizer") is ScheduleFreeAdamW and not self.betas[0]):
            raise Usage(f"train.betas are two numbers from 0 to below 1 (schedule_free needs the first above 0), not {self.betas}")

    @cached_property
    def parts(self) -> dict[str, Any]:
        """What each of `PARTS` names, with its settings; raises Usage for what is not there."""
        given = ("lr", "betas", "weight_decay")  # to optimizers, by settings of their own
        return {key: (node := getattr(self, key)) and bound(table, node, f"train.{key}", given) for key, table in self.PARTS.items()}

    def named(self, key: str) -> Any:
        """What one of `PARTS` names, without its settings."""
        return getattr(self.parts[key], "func", self.parts[key])

    @property
    def rates_by_loss(self) -> bool:
        """Whether the learning rate follows the held-out loss."""
        return self.named("rate") is plateau

    @property
    def total(self) -> int | None:
        """The images of the whole run, None where they follow from its speed."""
        return self.steps * self.batch if self.steps else self.images

    @property
    def length(self) -> str:
        """The setting that says how long the run is."""
        return next(f"train.{key}" for key in LENGTHS if getattr(self, key) is not None)


@dataclass(frozen=True)
class TrainSettings(Settings):
    """The settings of training a denoiser: those of any run, and

    weight   of each level in the loss (see `diffusion.loss`)
    stills   the share of steps in which the frames of clips are pictures of their own, and temporal layers are left out (Ho et al. 2022, Video Diffusion Models)
    forcing  the share of clips in which each frame has a noise level of its own (diffusion forcing, Chen et al. 2024); such a model goes on from known frames
    """

    PARTS = {**Settings.PARTS, "weight": WEIGHTS}
    weight: Part = "flat"
    stills: Annotated[float, Within(0, 1)] = 0.0
    forcing: Annotated[float, Within(0, 1)] = 0.0
