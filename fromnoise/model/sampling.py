"""How samples are drawn from a model: the settings of a walk from noise to data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..diffusion import Denoise, clip, threshold
from ..errors import Usage
from ..samplers import stepper


@dataclass(frozen=True)
class Sampling:
    """The settings of a walk.

    name      a sampler of `SAMPLERS`;  steps  how many;  options  the sampler's own, such as {eta: 0.5}
    guidance  weak + guidance · (strong - weak); 1 is the conditional model alone, 0 the unconditional
    low, high guidance acts where low < sigma / alpha <= high
    rescale   0 to 1: how far guided predictions are brought back to the mean and contrast of unguided ones
    clip      how x0 is held in [-1, 1]: none, static (clamped), dynamic (Imagen's threshold)
    control   how control branches are heeded, by key: a weight, or [weight, low, high] to heed it where low < sigma / alpha <= high
    batch     how many samples walk together; it does not change them
    """

    name: str = "dpmpp_2m"
    steps: int = 20
    guidance: float = 1.0
    low: float = 0.0
    high: float = float("inf")
    rescale: float = 0.0
    clip: Literal["none", "static", "dynamic"] = "none"
    options: Mapping[str, Any] = field(default_factory=dict)
    control: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 256

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise Usage(f"a sampler needs at least 1 step, not {self.steps}")
        if not abs(self.guidance) < 1e6:
            raise Usage(f"guidance is a finite number, not {self.guidance}")
        if not self.low < self.high:
            raise Usage(f"guidance acts from low to high noise, low < high, not {self.low:g} to {self.high:g}")
        if not 0 <= self.rescale <= 1:
            raise Usage(f"rescale is a share from 0 to 1, not {self.rescale:g}")
        for key, value in self.options.items():
            if not isinstance(value, (bool, int, float, str)):
                raise Usage(f"the sampler's option {key} is a number or a word, not {value!r}")
        object.__setattr__(self, "control", {key: _heed(key, how) for key, how in self.control.items()})
        if self.batch < 1:
            raise Usage(f"samples are drawn at least 1 at a time, not {self.batch}")
        stepper(self.name, options=self.options)

    def held(self, denoise: Denoise) -> Denoise:
        """The denoiser with x0 held in range as `clip` says."""
        return CLIPS[self.clip](denoise)


def _heed(key: str, how: Any) -> list[float]:
    """[weight] or [weight, low, high]."""
    numbers = [how] if isinstance(how, (int, float)) else list(how) if isinstance(how, (list, tuple)) else []
    if len(numbers) not in (1, 3) or not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers):
        raise Usage(f"control of {key} is a weight, or [weight, low, high], not {how!r}")
    if not abs(numbers[0]) < 1e6 or (len(numbers) == 3 and not numbers[1] < numbers[2]):
        raise Usage(f"control of {key} is a finite weight, from low to high noise, low < high, not {how!r}")
    return [float(n) for n in numbers]


CLIPS = {"none": lambda denoise: denoise, "static": clip, "dynamic": threshold}
