"""Where eps comes from: standard normal, with an offset, from another set of examples, or matched to the data."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..draws import Draws
from ..errors import Problem, Usage


class Seeded:
    """A stream of standard normal noise for the samples numbered `indices` of a seed: randn(x) -> like x.

    Sample i draws from a counter-based generator keyed by (seed, i) alone (Philox, Salmon et al. 2011), so a picture does not depend on the
    batch that it is made in, on the device, or on the number of them.
    """

    def __init__(self, seed: int, indices: Sequence[int]):
        self.indices = indices
        self.streams = [np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, i], dtype=np.uint64))) for i in indices]

    def __call__(self, x: Tensor) -> Tensor:
        drawn = np.stack([stream.standard_normal(tuple(x.shape[1:]), dtype=np.float32) for stream in self.streams])
        return torch.from_numpy(drawn).to(x)


class Source(ABC):
    """The noise end of the blend, in training, in the held-out loss and at the start of sampling."""

    key: str | None = None  # the entry of a batch that it reads, None where it needs none
    whole: ClassVar[bool] = False  # whether it must see the batch of all processes at once

    @abstractmethod
    def __call__(self, batch: Mapping[str, Any], draws: Draws) -> Tensor:
        """eps like batch["x"], (B, C, *S)."""

    @abstractmethod
    def start(self, n: int, shape: Sequence[int], noise: Seeded, examples: Tensor | None = None) -> Tensor:
        """The eps that n samples of `shape` start from, (n, *shape); examples (m, *shape) of what `key` names, where it names something."""


def _normals(draws: Draws) -> Callable[[Tensor], Tensor]:
    """randn(x) -> like x, from the stream for noise."""
    stream = draws.of("noise")
    return lambda x: stream.randn(*x.shape[1:], device=x.device).to(x)


@dataclass(frozen=True)
class Gaussian(Source):
    """Standard normal noise; `offset` adds a share that is constant over each channel, for pictures wholly dark or bright (Guttenberg 2023)."""

    offset: float = 0.0

    def __call__(self, batch: Mapping[str, Any], draws: Draws) -> Tensor:
        return self._noise(batch["x"], _normals(draws))

    def start(self, n: int, shape: Sequence[int], noise: Seeded, examples: Tensor | None = None) -> Tensor:
        return self._noise(torch.empty(n, *shape), noise)

    def _noise(self, x: Tensor, randn: Callable[[Tensor], Tensor]) -> Tensor:
        eps = randn(x)
        return eps + self.offset * randn(eps[(..., *[slice(1)] * (eps.ndim - 2))]) if self.offset else eps


@dataclass(frozen=True)
class Paired(Source):
    """Another entry of the batch in place of noise: alpha-blending between two sets (Heitz et al. 2023, sec. 5); sample i starts from example i, in turn."""

    key: str = "source"

    def __call__(self, batch: Mapping[str, Any], draws: Draws) -> Tensor:
        if self.key not in batch:
            raise Problem(f"source: paired needs {self.key!r} in the data, which has only {', '.join(batch)}; name another with source.key")
        self._check(batch[self.key], batch["x"].shape[1:])
        return batch[self.key]

    def start(self, n: int, shape: Sequence[int], noise: Seeded, examples: Tensor | None = None) -> Tensor:
        if examples is None or not len(examples):
            raise Usage(f"this model starts from {self.key}, not from noise; give it examples to start from")
        self._check(examples, shape)
        return examples[[i % len(examples) for i in noise.indices]]

    def _check(self, source: Tensor, shape: Sequence[int]) -> None:
        if tuple(source.shape[1:]) != tuple(shape):
            raise Usage(f"source: {self.key!r} has the shape {tuple(source.shape[1:])}, x has {tuple(shape)}; bring the two to one shape")


@dataclass(frozen=True)
class Coupled(Source):
    """Standard normal noise, handed to the batch's examples so that the sum of squared distances is least (OT-CFM, Tong et al. 2024).

    It is eps that is permuted, never x0, so labels and captions stay with their pictures. Samples start from plain noise.
    """

    whole = True

    def __call__(self, batch: Mapping[str, Any], draws: Draws) -> Tensor:
        try:
            from scipy.optimize import linear_sum_assignment
        except ImportError as error:
            raise Problem('source: coupled needs SciPy; run pip install "fromnoise[ot]"') from error
        eps = _normals(draws)(batch["x"])
        cost = torch.cdist(batch["x"].flatten(1).double(), eps.flatten(1).double()).square()
        return eps[torch.as_tensor(linear_sum_assignment(cost.cpu().numpy())[1], device=eps.device)]

    def start(self, n: int, shape: Sequence[int], noise: Seeded, examples: Tensor | None = None) -> Tensor:
        return noise(torch.empty(n, *shape))


SOURCES: dict[str, type[Source]] = {"gaussian": Gaussian, "paired": Paired, "coupled": Coupled}
