"""How near samples of 2-D toys, or of any points (N, D), come to the data: no network needed."""

import torch
from torch import Tensor

ROWS = 1024  # of a distance matrix at a time


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
    """The root mean square over random directions of the 2-Wasserstein distance of the projections of a (N, D) and b (M, D).

    Bonneel et al. 2015. In one dimension the plan sorts both; sets of different size are matched at the quantiles of the larger one.
    """
    lines = torch.randn(a.shape[1], directions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    lines = lines / lines.norm(dim=0)
    size = max(len(a), len(b))
    x, y = (_at_quantiles((points.double().cpu() @ lines).sort(0).values, size) for points in (a, b))
    return (x - y).square().mean().sqrt().item()


def _at_quantiles(ordered: Tensor, size: int) -> Tensor:
    """The step quantile function of sorted rows (N, K) at the `size` middles of even parts of [0, 1], (size, K)."""
    return ordered[((torch.arange(size, dtype=torch.float64) + 0.5) / size * len(ordered)).long()]
