"""Distances between two sets of feature vectors (N, D): Fréchet, KID, precision and recall; all in float64."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ...errors import Problem

ROWS = 1024  # of a distance matrix at a time


@final
@dataclass(frozen=True)
class Statistics:
    """How many vectors were seen, their mean (D,) and their scatter Σ (x - mean)(x - mean)ᵀ (D, D), in float64.

    `Statistics.of(a) + Statistics.of(b)` are those of a and b together, so a stream is summed in constant memory and in any order
    (Chan, Golub, LeVeque 1983).
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Statistics":
        """The statistics of features (N, D), N >= 1."""
        if features.ndim != 2 or len(features) == 0:
            raise Problem(f"features are {tuple(features.shape)}; they must be (N, D) with at least one row")
        features = features.double()
        mean = features.mean(0)
        centred = features - mean
        return cls(len(features), mean, centred.T @ centred)

    def __add__(self, other: "Statistics") -> "Statistics":
        count = self.count + other.count
        gap = other.mean - self.mean
        scatter = self.scatter + other.scatter + torch.outer(gap, gap) * (self.count * other.count / count)
        return Statistics(count, self.mean + gap * (other.count / count), scatter)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance (D, D); raises Problem for fewer than two vectors."""
        if self.count < 2:
            raise Problem("a covariance needs at least 2 samples; draw more with -n")
        return self.scatter / (self.count - 1)


def frechet(a: Tensor | Statistics, b: Tensor | Statistics) -> float:
    """The Fréchet distance of two Gaussians, |μa - μb|² + tr(Ca + Cb - 2 (Ca Cb)^½), from features (N, D) or their Statistics.

    Heusel et al. 2017, (6); in Inception's features it is FID. With Ca = A Aᵀ and Cb = B Bᵀ the trace of the root is the sum of
    the singular values of Aᵀ B, which takes no root of a product that is not symmetric, and stands covariances without full rank. It falls
    as the number of samples grows, so only distances at the same n compare.
    """
    a, b = (x if isinstance(x, Statistics) else Statistics.of(x) for x in (a, b))
    if a.mean.shape != b.mean.shape:
        raise Problem(f"features of {len(a.mean)} and {len(b.mean)} dimensions do not compare; measure both in one network")
    overlap = torch.linalg.svdvals(_factor(a.covariance).T @ _factor(b.covariance)).sum()
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * overlap
    return max(distance.item(), 0.0)


def _factor(covariance: Tensor) -> Tensor:
    """F with F Fᵀ = covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    rounding = values[-1] * len(values) * torch.finfo(values.dtype).eps
    values = values.where(values > rounding, 0)  # it would enter by its square root
    return vectors * values.sqrt()


def kid(a: Tensor, b: Tensor, subsets: int = 100, size: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The kernel distance of features (N, D) and (M, D), and its standard deviation over subsets.

    KID, Bińkowski et al. 2018: the unbiased MMD² with kernel (x·y / D + 1)³, averaged over random subsets of `size` rows each (or of all
    rows where there are fewer). Unbiased, so it is about 0 between equals, may be below it, and does not fall with n.
    """
    size = min(size, len(a), len(b))
    if size < 2:
        raise Problem("a kernel distance needs at least 2 samples; draw more with -n")
    draw = torch.Generator().manual_seed(seed)
    a, b = a.double(), b.double()
    found = []
    for _ in range(subsets):
        x, y = (rows[torch.randperm(len(rows), generator=draw)[:size].to(rows.device)] for rows in (a, b))
        found.append(_mmd2(x, y))
    values = torch.stack(found)
    return values.mean().item(), values.std(correction=0).item()


def _mmd2(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased squared maximum mean discrepancy of x (m, D) and y (m, D) under the cubic kernel."""

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        return (p @ q.T).div_(p.shape[1]).add_(1).pow_(3)

    m = len(x)
    within = sum(k.sum() - k.trace() for k in (kernel(x, x), kernel(y, y))) / (m * (m - 1))
    return within - 2 * kernel(x, y).mean()


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """The share of fake features that lie on the real manifold, and the share of real ones on the fake.

    Kynkäänniemi et al. 2019: a set's manifold is the union of balls around its members that reach to the k-th nearest other member.
    real (N, D), fake (M, D); N and M must exceed k.
    """
    if min(len(real), len(fake)) <= k:
        raise Problem(f"precision and recall need more than {k} samples; draw more with -n")
    centre = real.double().mean(0)
    real, fake = real.double() - centre, fake.double() - centre  # keeps |x|² + |y|² - 2 x·y from cancelling
    return _inside(fake, real, _reach(real, k)), _inside(real, fake, _reach(fake, k))


def _reach(points: Tensor, k: int) -> Tensor:
    """The distance of every point (N, D) to its k-th nearest other, (N,)."""
    found = []
    for first in range(0, len(points), ROWS):
        distances = torch.cdist(points[first : first + ROWS], points)
        distances.diagonal(first).fill_(0)
        found.append(distances.topk(k + 1, largest=False).values[:, -1])
    return torch.cat(found)


def _inside(points: Tensor, centres: Tensor, reach: Tensor) -> float:
    """The share of points (N, D) within reach (M,) of any of the centres (M, D)."""
    return torch.cat([(torch.cdist(part, centres) <= reach).any(1) for part in points.split(ROWS)]).double().mean().item()
