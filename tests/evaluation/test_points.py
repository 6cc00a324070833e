import numpy as np
import pytest
import scipy.stats
import torch

from fromnoise.data import DATASETS
from fromnoise.errors import Problem
from fromnoise.evaluation import distance_to_data, energy_distance, score_points, sliced_wasserstein


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_distance_to_data():
    data = torch.cartesian_prod(torch.arange(50.0), torch.arange(50.0))
    points = data[:1200] + torch.tensor([0.3, 0.4])  # half a unit from a corner of the grid, farther from all others
    assert distance_to_data(points, data) == pytest.approx(0.5, rel=1e-6)
    assert distance_to_data(data, data) == pytest.approx(0, abs=1e-6)


def test_energy_distance_in_one_dimension_is_scipy():
    """SciPy's is the root of ours on a line."""
    a, b = normal(1500, seed=1), 1.4 * normal(700, seed=2) + 0.3
    assert energy_distance(a[:, None], b[:, None]) == pytest.approx(scipy.stats.energy_distance(a.numpy(), b.numpy()) ** 2, rel=1e-6)


def test_energy_distance_of_two_places():
    assert energy_distance(torch.zeros(5, 2), torch.tensor([[3.0, 4.0]]).expand(7, 2)) == pytest.approx(10)


def test_sliced_wasserstein_on_a_line_sorts_both():
    a, b = normal(300, 1, seed=1), 2 * normal(300, 1, seed=2) + 1
    expected = np.sqrt(((np.sort(a[:, 0].numpy()) - np.sort(b[:, 0].numpy())) ** 2).mean())
    assert sliced_wasserstein(a, b) == pytest.approx(float(expected), rel=1e-5)


def test_sliced_wasserstein_of_a_shift():
    """E (v·θ)² = |v|² / D over directions θ."""
    a = normal(200, 2)
    assert sliced_wasserstein(a, a + torch.tensor([3.0, 4.0]), directions=20_000) == pytest.approx(5 / 2**0.5, rel=0.02)


def test_sliced_wasserstein_of_sets_of_different_size():
    """Every point said three times is the same distribution."""
    a, b = normal(100, 2), normal(80, 2, seed=1)
    assert sliced_wasserstein(a, a.repeat(3, 1)) == pytest.approx(0, abs=1e-12)
    once, twice = (sliced_wasserstein(a.repeat(4 * k, 1), b.repeat(5 * k, 1)) for k in (1, 2))
    assert once == pytest.approx(twice, rel=1e-9)


def test_score_points_tells_good_from_bad():
    train, test = (DATASETS["moons"](count=2000, seed=0, split=split) for split in ("train", "test"))
    good = DATASETS["moons"](count=1000, seed=5).x
    card = score_points(good, train, test)
    assert card["distance to data"].ratio == pytest.approx(1, abs=0.2)
    bad = score_points(good + 0.3 * normal(1000, 2), train, test)
    collapsed = score_points(good[good[:, 1] > 0], train, test)
    assert bad["distance to data"].ratio > 3
    assert collapsed["distance of data to samples"].ratio > 2
    for metric in ("sliced Wasserstein", "energy distance"):
        assert bad[metric].value > 2 * card[metric].value and collapsed[metric].value > 2 * card[metric].value


def test_score_points_says_what_is_wrong():
    data = DATASETS["moons"](count=100)
    with pytest.raises(Problem, match="own data"):
        score_points(torch.zeros(9, 3), data, data)
    with pytest.raises(Problem, match="not finite"):
        score_points(torch.full((9, 2), float("nan")), data, data)
