"""How samples are drawn from a model: one value, made at the edge and handed on whole."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from torch import Tensor

from ..config import SEED, Within, build, call
from ..diffusion import SCHEDULES, Denoise, Schedule, clip, threshold
from ..errors import Usage
from ..registry import lookup
from ..samplers import stepper

Guide = Callable[[Denoise, range], Denoise]  # (denoise, the numbers of its samples) -> denoise, such as one that inpaints

CLIPS: dict[str, Callable[..., Denoise]] = {"none": lambda denoise: denoise, "static": clip, "dynamic": threshold}


@dataclass(frozen=True, eq=False)
class Sampling:
    """How to draw: a walk from noise to data. `replace(sampling, steps=50)` is how one changes it, and `merged` for several words at once.

    sampler   a name of `SAMPLERS`;  steps  how many;  options  the sampler's own, such as {eta: 0.5};  schedule  its levels (None: those of training)
    guidance  weak + guidance · (strong - weak); 1 is the conditional model alone, 0 the unconditional;  low, high  where low < sigma / alpha <= high
    rescale   0 to 1: how far guided predictions are brought back to the mean and contrast of unguided ones
    negative  conditions that guidance leads away from, such as {"text": "a cat"}; none unless said;  weak  a worse model of the same data to lead
              away from instead (autoguidance, Karras et al. 2024)
    clip      how x0 is held in [-1, 1]: none, static (clamped), dynamic (Imagen's threshold), or {name: static, keep_eps: true}, a name and its settings
    guide     what else changes the prediction
    control   weights of control branches, by key: a weight, or [weight, low, high] for low < sigma / alpha <= high
    start     (n or 1, C, *S): x at the noisiest level, such as an inverted picture, in place of the seed's noise
    init      (n or 1, C, *S) in [-1, 1]: start from it, noised (SDEdit, Meng et al. 2022);  strength  how far, in (0, 1]
    seed      the same seed gives the same samples;  first  the number of the first of them;  batch  how many are drawn together: it does not change them
    """

    sampler: str | Callable[..., Any] = "dpmpp_2m"
    steps: Annotated[int, Within(1, 100_000)] = 20
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule | None = None
    guidance: Annotated[float, Within(-(10**6), 10**6)] = 1.0
    low: float = 0.0
    high: float = math.inf
    rescale: Annotated[float, Within(0, 1)] = 0.0
    negative: Mapping[str, Any] | None = None
    weak: Any = None
    clip: str | Mapping[str, Any] | Callable[[Denoise], Denoise] = "none"
    guide: Guide | None = None
    control: Mapping[str, Any] = field(default_factory=dict)
    start: Tensor | None = None
    init: Tensor | None = None
    strength: float = 0.6
    seed: SEED = 0
    first: int = 0
    batch: Annotated[int, Within(1, 1_000_000)] = 256

    def __post_init__(self) -> None:
        if not abs(self.guidance) < 1e6:
            raise Usage(f"guidance is a finite number, not {self.guidance}")
        if not self.low < self.high:
            raise Usage(f"guidance acts from low to high noise, low < high, not {self.low:g} to {self.high:g}")
        if not 0 <= self.rescale <= 1:
            raise Usage(f"rescale is a share from 0 to 1, not {self.rescale:g}")
        if not 0 < self.strength <= 1:
            raise Usage(f"strength is the share of the walk that an image is taken back, 0 < strength <= 1, not {self.strength}")
        if self.start is not None and self.init is not None:
            raise Usage("samples start from an image or from noise of your own, not from both")
        if self.negative and self.weak is not None:
            raise Usage("guidance leads away from what is negative, or from another model, not from both")
        for key, value in self.options.items():
            if not isinstance(value, (bool, int, float, str)):
                raise Usage(f"the sampler's option {key} is a number or a word, not {value!r}")
        object.__setattr__(self, "control", {key: _weights(key, how) for key, how in self.control.items()})
        self.clip_x0(lambda x, level: (x, x))
        stepper(self.sampler, options=self.options)

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> "Sampling":
        """A recipe's `sample: {name: unipc, steps: 20, …}`."""
        for key in ("weak", "guide", "start", "init", "first", "sampler"):
            if key in node:
                raise Usage(f"sample has no setting {key!r}; " + ("its sampler is its name" if key == "sampler" else "it is said when samples are drawn"))
        return cls().merged({"sampler" if key == "name" else key: value for key, value in node.items()})

    def merged(self, words: Mapping[str, Any]) -> "Sampling":
        """The same with some fields set anew, None leaving one as it is; names and types are checked, and another sampler has its own options."""
        words = {key: value for key, value in words.items() if value is not None}
        own = {part.name: getattr(self, part.name) for part in fields(self)}
        if words.get("sampler", self.sampler) != self.sampler:
            own["options"] = {}
        return call(Sampling, own | words, "sample", {Schedule: schedule})

    def clip_x0(self, denoise: Denoise) -> Denoise:
        """The denoiser with x0 held in range as `clip` says."""
        node = self.clip if isinstance(self.clip, Mapping) else {"name": self.clip}
        first = next(iter(inspect.signature(lookup(CLIPS, node.get("name"), "clip")).parameters))
        return build(CLIPS, node, "clip", **{first: denoise})

    def record(self) -> dict[str, Any]:
        """What of it is written down beside a result: plain values that differ from the defaults."""
        usual = Sampling()
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        plain = {key: value for key, value in values.items() if isinstance(value, (bool, int, float, str, dict)) and value != getattr(usual, key)}
        own = {"schedule": repr(self.schedule)} if self.schedule else {}
        return plain | own | {"sampler": self.sampler if isinstance(self.sampler, str) else self.sampler.__name__, "steps": self.steps}


def schedule(node: Any) -> Schedule:
    """The schedule that a node of a recipe names: cosine, or {name: shifted, base: flow, by: 3}."""
    return node if isinstance(node, Schedule) else build(SCHEDULES, node, "noise", {Schedule: schedule}, Schedule)


WORDS = tuple(part.name for part in fields(Sampling))


def _weights(key: str, how: Any) -> list[float]:
    """[weight] or [weight, low, high]."""
    numbers = [how] if isinstance(how, (int, float)) else list(how) if isinstance(how, (list, tuple)) else []
    if len(numbers) not in (1, 3) or not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers):
        raise Usage(f"control of {key} is a weight, or [weight, low, high], not {how!r}")
    if not abs(numbers[0]) < 1e6 or (len(numbers) == 3 and not numbers[1] < numbers[2]):
        raise Usage(f"control of {key} is a finite weight, from low to high noise, low < high, not {how!r}")
    return [float(n) for n in numbers]
