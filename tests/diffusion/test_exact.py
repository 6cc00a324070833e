import math

import pytest
import torch

from fromnoise.diffusion import Cosine, Karras, Level, exact

GRID = torch.linspace(-8, 8, 40_001, dtype=torch.float64)
X = torch.tensor([-2.5, -0.3, 0.0, 0.8, 3.0], dtype=torch.float64)


def normal(x, mean, std):
    return torch.exp(-((x - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))


def posterior_mean(density, x, level):
    """∫ x0 p(x0) N(x; alpha x0, sigma²) dx0 / ∫ p(x0) N(x; alpha x0, sigma²) dx0, on a grid."""
    weight = density * normal(x[:, None], float(level.alpha) * GRID, float(level.sigma))
    return (weight * GRID).sum(1) / weight.sum(1)


@pytest.mark.parametrize("level", [Cosine()(torch.tensor(t)) for t in (0.05, 0.5, 0.95)] + [Karras()(torch.tensor(0.5))])
def test_posterior_means_by_integration(level):
    one = exact.gaussian(0.3, 0.5)(X[:, None], level)[0][:, 0]
    assert torch.allclose(one, posterior_mean(normal(GRID, 0.3, 0.5), X, level), atol=1e-7)
    density = 0.2 * normal(GRID, -1.0, 0.1) + 0.5 * normal(GRID, 0.4, 0.6) + 0.3 * normal(GRID, 2.0, 0.3)
    means, stds, weights = (
        torch.tensor([[-1.0], [0.4], [2.0]]).double(),
        torch.tensor([0.1, 0.6, 0.3]).double(),
        torch.tensor([0.2, 0.5, 0.3]).double(),
    )
    many = exact.mixture(means, stds, weights)(X[:, None], level)[0][:, 0]
    assert torch.allclose(many, posterior_mean(density, X, level), atol=1e-6)


def test_levels_of_a_batch_are_each_samples_own():
    levels = [Cosine()(torch.tensor(t)) for t in (0.1, 0.5, 0.9)]
    together = Cosine()(torch.tensor([0.1, 0.5, 0.9]))
    x = torch.randn(3, 2, 4, dtype=torch.float64)
    for denoise in (
        exact.gaussian(0.3, 0.5),
        exact.mixture(torch.randn(4, 2, 4), torch.rand(4) + 0.1),
        exact.dataset(torch.randn(6, 2, 4)),
    ):
        for i, level in enumerate(levels):
            assert torch.allclose(denoise(x, together)[0][i], denoise(x[i : i + 1], level)[0][0], atol=1e-9)


def test_the_mean_of_a_dataset_weighs_its_points_by_their_distance():
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]).double()
    x, level = torch.tensor([[0.4, 0.3]]).double(), Level(torch.tensor(0.8).double(), torch.tensor(0.6).double())
    weights = [math.exp(-((0.4 - 0.8 * a) ** 2 + (0.3 - 0.8 * b) ** 2) / (2 * 0.36)) for a, b in points.tolist()]
    expected = [sum(w * p[axis] for w, p in zip(weights, points.tolist(), strict=True)) / sum(weights) for axis in (0, 1)]
    assert exact.dataset(points)(x, level)[0][0].tolist() == pytest.approx(expected)


def test_little_noise_finds_the_nearest_point():
    points = torch.randn(20, 3, dtype=torch.float64)
    level = Karras()(torch.tensor(0.0))
    x0, eps = exact.dataset(points)(points + 0.001, level)
    assert torch.allclose(x0, points, atol=1e-6)
    assert torch.allclose(level.mix(x0, eps), points + 0.001)


def test_log_density_is_torchs():
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    expected = torch.distributions.Normal(0.0, 0.7).log_prob(x).flatten(1).sum(1)
    assert torch.allclose(exact.log_gaussian(x, 0.7), expected)
