"""Where eps comes from: standard normal, seeded per sample, with an offset, from the data's own pairs, or matched to the data."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..draws import Draws
from ..errors import Problem


class Source(ABC):
    """What training blends with the data: source(batch, draws) -> eps like batch["x"]; without draws, from the global stream."""

    whole: ClassVar[bool] = False  # whether it must see the batch of all processes at once

    @abstractmethod
    def __call__(self, batch: Mapping[str, Any], draws: Draws | None = None) -> Tensor: ...


def _normal(x: Tensor, draws: Draws | None) -> Tensor:
    return torch.randn_like(x) if draws is None else draws.randn(*x.shape[1:], device=x.device).to(x.dtype)


@dataclass(frozen=True)
class Gaussian(Source):
    """Standard normal noise; `offset` adds a share that is constant over each channel, for pictures wholly dark or bright (Guttenberg 2023)."""

    offset: float = 0.0

    def __call__(self, batch: Mapping[str, Any], draws: Draws | None = None) -> Tensor:
        eps = _normal(batch["x"], draws)
        if self.offset:
            eps = eps + self.offset * _normal(eps[(..., *[slice(1)] * (eps.ndim - 2))], draws)
        return eps


@dataclass(frozen=True)
class Paired(Source):
    """Another entry of the batch, in place of noise: alpha-blending between two sets of pictures (Heitz et al. 2023, sec. 5)."""

    key: str = "source"

    def __call__(self, batch: Mapping[str, Any], draws: Draws | None = None) -> Tensor:
        if self.key not in batch:
            raise Problem(f"source: paired needs {self.key!r} in the data, which has only {', '.join(batch)}; name another with source.key")
        return batch[self.key]


@dataclass(frozen=True)
class Coupled(Source):
    """Standard normal noise, handed to the batch's examples so that the sum of squared distances is least (OT-CFM, Tong et al. 2024).

    It is eps that is permuted, never x0, so labels and captions stay with their pictures.
    """

    whole = True

    def __call__(self, batch: Mapping[str, Any], draws: Draws | None = None) -> Tensor:
        try:
            from scipy.optimize import linear_sum_assignment
        except ImportError as error:
            raise Problem('source: coupled needs SciPy; run pip install "fromnoise[ot]"') from error
        x0, eps = batch["x"], _normal(batch["x"], draws)
        cost = torch.cdist(x0.flatten(1).double(), eps.flatten(1).double()).square()
        _, chosen = linear_sum_assignment(cost.cpu().numpy())
        return eps[torch.as_tensor(chosen, device=eps.device)]


SOURCES: dict[str, type[Source]] = {"gaussian": Gaussian, "paired": Paired, "coupled": Coupled}


class Seeded:
    """A stream of standard normal noise for samples number `first` … of a seed: randn(x) -> like x.

    Sample i draws from a counter-based generator keyed by (seed, i) alone (Philox, Salmon et al. 2011), so a picture does not depend on the
    batch that it is made in, on the device, or on the number of them.
    """

    def __init__(self, seed: int, indices: Sequence[int]):
        self.streams = [np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, i], dtype=np.uint64))) for i in indices]

    def __call__(self, x: Tensor) -> Tensor:
        drawn = np.stack([stream.standard_normal(tuple(x.shape[1:]), dtype=np.float32) for stream in self.streams])
        return torch.from_numpy(drawn).to(x)
