"""Distances between two sets of vectors (N, D), in float64: of features Fréchet, KID, precision and recall; of points what needs no network."""

import torch
from torch import Tensor

from ...errors import Problem

ROWS = 1024  # of a distance matrix at a time


def frechet(a: Tensor, b: Tensor) -> float:
    """The Fréchet distance of the Gaussians that fit features a (N, D) and b (M, D) (Heusel et al. 2017, (6)), FID in Inception's; it falls with n."""
    if a.shape[1:] != b.shape[1:]:
        raise Problem(f"features of {a.shape[1]} and {b.shape[1]} dimensions do not compare; measure both in one network")
    return frechet_of_gaussians(*_moments(a), *_moments(b))


def frechet_of_gaussians(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """|μa - μb|² + tr(Ca + Cb - 2 (Ca Cb)^½); means (D,), covariances (D, D), in float64. With Ca = A Aᵀ and Cb = B Bᵀ the trace of the root is the sum of the
    singular values of Aᵀ B, whatever the ranks."""
    overlap = torch.linalg.svdvals(_factor(cov_a).T @ _factor(cov_b)).sum()
    return max(((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * overlap).item(), 0.0)


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) and the unbiased covariance (D, D) of features (N, D), in float64."""
    if len(features) < 2:
        raise Problem("a covariance needs at least 2 samples; draw more with -n")
    features = features.double()
    return features.mean(0), features.T.cov().reshape(features.shape[1], -1)


def _factor(covariance: Tensor) -> Tensor:
    """F with F Fᵀ = covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    rounding = values[-1] * len(values) * torch.finfo(values.dtype).eps
    values = values.where(values > rounding, 0)  # it would enter by its square root
    return vectors * values.sqrt()


def kid(a: Tensor, b: Tensor, subsets: int = 100, size: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The kernel distance of features (N, D) and (M, D) and its standard deviation over random subsets of `size` rows. KID, Bińkowski et al. 2018: the unbiased MMD²
    with kernel (x·y / D + 1)³; about 0 between equals, maybe below, whatever n is."""
    size = min(size, len(a), len(b))
    if size < 2:
        raise Problem("a kernel distance needs at least 2 samples; draw more with -n")
    draw = torch.Generator().manual_seed(seed)

    def subset(rows: Tensor) -> Tensor:
        return rows[torch.randperm(len(rows), generator=draw)[:size].to(rows.device)]

    a, b = a.double(), b.double()
    values = torch.stack([_mmd2(subset(a), subset(b)) for _ in range(subsets)])
    return values.mean().item(), values.std(correction=0).item()


def _mmd2(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased squared maximum mean discrepancy of x (m, D) and y (m, D) under the cubic kernel."""

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        return (p @ q.T).div_(p.shape[1]).add_(1).pow_(3)

    m = len(x)
    within = sum(k.sum() - k.trace() for k in (kernel(x, x), kernel(y, y))) / (m * (m - 1))
    return within - 2 * kernel(x, y).mean()


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """The share of fake features (M, D) that lie on the manifold of real ones (N, D), and the other way round; N, M > k. Kynkäänniemi et al. 2019: a set's manifold
    is the union of balls around its members that reach to the k-th nearest other member."""
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


def distance_to_data(points: Tensor, data: Tensor) -> float:
    """The mean Euclidean distance of points (N, D) to the nearest of data (M, D)."""
    data = data.double()
    return torch.cat([torch.cdist(part, data).amin(1) for part in points.double().split(ROWS)]).mean().item()


def energy_distance(a: Tensor, b: Tensor) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| between points a (N, D) and b (M, D), at least 0 (Székely and Rizzo 2013, the V-statistic)."""

    def mean(p: Tensor, q: Tensor) -> float:
        return sum(torch.cdist(part, q).sum().item() for part in p.split(ROWS)) / (len(p) * len(q))

    a, b = a.double(), b.double()
    return 2 * mean(a, b) - mean(a, a) - mean(b, b)


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int = 128, seed: int = 0) -> float:
    """The root mean square over random directions of the 2-Wasserstein distance of the projections of a (N, D) and b (M, D). Bonneel et al. 2015. In one dimension
    the plan sorts both; sets of different size are matched at the quantiles of the larger one."""
    lines = torch.randn(a.shape[1], directions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    lines = lines / lines.norm(dim=0)
    size = max(len(a), len(b))
    x, y = (_at_quantiles((points.double().cpu() @ lines).sort(0).values, size) for points in (a, b))
    return (x - y).square().mean().sqrt().item()


def _at_quantiles(ordered: Tensor, size: int) -> Tensor:
    """The step quantile function of sorted rows (N, K) at the `size` middles of even parts of [0, 1], (size, K)."""
    return ordered[((torch.arange(size, dtype=torch.float64) + 0.5) / size * len(ordered)).long()]
