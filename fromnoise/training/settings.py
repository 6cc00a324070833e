"""The settings of a training run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..config import LENGTHS
from ..diffusion import DISTANCES, PENALTIES, WEIGHTS
from ..errors import Usage
from ..registry import lookup
from .optim import OPTIMIZERS, RATES
from .trackers import TRACKERS

ABOVE_ZERO = (*LENGTHS, "batch", "accumulate", "lr", "clip", "ema", "log_every", "save_minutes", "save_every", "keep_every", "max_bad_steps")
ZERO_OR_MORE = ("evals", "held_out", "keep", "warmup", "workers", "weight_decay", "ema_warmup")
PARTS = {"optimizer": OPTIMIZERS, "rate": RATES, "weight": WEIGHTS, "distance": DISTANCES, "penalty": PENALTIES, "tracker": TRACKERS}


@dataclass(frozen=True)
class TrainSettings:
    """The settings of a training run; a part of `PARTS` is a name, `module:Name`, or the thing itself.

    images          how long: so many examples seen. Or steps, so many batches; or minutes, which the speed of the run's first part turns into images
    batch           examples a step, over all processes;  accumulate  in how many micro-batches each process takes its share
    optimizer       called (params, lr=, betas=, weight_decay=);  lr  the peak learning rate;  rate  its course, (share of the run done) -> factor
    warmup          over how many images the rate rises
    ema, ema_warmup the average's half-life in images, and its largest share of the images seen (0: no average); schedule_free keeps an
                    average of its own instead
    weight, distance, penalty  see `diffusion.loss`;  penalty_weight  how much the penalty counts
    clip            the largest norm of the gradient;  max_bad_steps  non-finite steps in a row before going back to the last checkpoint
    precision       auto, bf16 or fp32 of the network;  compile  torch.compile it (null: on a GPU)
    recompute       keep a block's input alone and compute it again on the way back: less memory, about a third more time
    evals           how many times in the run the loss on `held_out` examples is taken and a grid is drawn
    save_minutes, save_every  how often all is saved, in minutes or steps;  keep, keep_every  averaged weights kept: the last few, every so many steps
    tracker         none, tensorboard or wandb, beside log.jsonl
    """

    images: int | None = None
    steps: int | None = None
    minutes: float | None = None
    batch: int = 128
    accumulate: int = 1
    optimizer: str | Callable[..., Any] = "adamw"
    lr: float = 1e-3
    rate: str | Callable[..., Any] = "cosine"
    warmup: int = 12_800
    betas: list[float] = field(default_factory=lambda: [0.9, 0.99])
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 500_000
    ema_warmup: float = 0.05
    weight: str | Callable[..., Any] = "flat"
    distance: str | Callable[..., Any] = "mse"
    penalty: str | Callable[..., Any] | None = None
    penalty_weight: float = 1.0
    max_bad_steps: int = 5
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    compile: bool | None = None
    recompute: bool = False
    evals: int = 10
    held_out: int = 256
    log_every: int = 50
    save_minutes: float = 5.0
    save_every: int | None = None
    keep: int = 0
    keep_every: int | None = None
    workers: int = 0
    tracker: str | Callable[..., Any] = "none"

    def __post_init__(self) -> None:
        said = [key for key in LENGTHS if getattr(self, key) is not None]
        if not said:
            raise Usage("say how long to train: train.images=400000, train.steps=3000, or train.minutes=5")
        if len(said) > 1:
            raise Usage(f"one length at a time: train.{said[0]} and train.{said[1]} are both set; leave one out")
        for key in (*ABOVE_ZERO, *ZERO_OR_MORE):
            value = getattr(self, key)
            if value is not None and not (value > 0 or (value == 0 and key in ZERO_OR_MORE)):
                raise Usage(f"train.{key} is {'above 0' if key in ABOVE_ZERO else '0 or more'}, not {value}")
        for key, table in PARTS.items():
            if getattr(self, key) is not None:
                lookup(table, getattr(self, key), f"train.{key}")
        if self.rate == "plateau" and not (self.evals and self.held_out):
            raise Usage("train.rate=plateau follows the held-out loss; set train.evals and train.held_out above 0, or choose another rate")
        within = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        if not within or (self.optimizer == "schedule_free" and not self.betas[0]):
            raise Usage(f"train.betas are two numbers from 0 to below 1 (schedule_free needs the first above 0), not {self.betas}")

    @property
    def total(self) -> int | None:
        """The images of the whole run, None where they follow from its speed."""
        return self.steps * self.batch if self.steps else self.images

    @property
    def length(self) -> str:
        """The setting that says how long the run is."""
        return next(f"train.{key}" for key in LENGTHS if getattr(self, key) is not None)
