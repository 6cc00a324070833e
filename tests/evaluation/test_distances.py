import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fromnoise.errors import Problem
from fromnoise.evaluation import frechet, kid, precision_recall
from fromnoise.evaluation.metrics.distances import frechet_of_gaussians


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(size, seed=0):
    return torch.linalg.qr(normal(size, size, seed=seed)).Q


# Fréchet distance


def test_frechet_of_gaussians_with_one_set_of_axes():
    """Σ (√a - √b)² along the axes, plus the squared distance of the means."""
    turn, mean = rotation(5), normal(5, seed=1)
    a, b = normal(2, 5, seed=2).square()
    expected = (a.sqrt() - b.sqrt()).square().sum() + mean.square().sum()
    found = frechet_of_gaussians(torch.zeros(5).double(), turn @ a.diag() @ turn.T, mean, turn @ b.diag() @ turn.T)
    assert found == pytest.approx(expected.item(), rel=1e-12)


def test_frechet_is_heusel_with_scipy():
    """Heusel et al. 2017, (6), typed out with SciPy's root of a matrix."""
    a, b = (normal(400, 12, seed=1) @ normal(12, 12, seed=2)).numpy(), (normal(300, 12, seed=3) @ normal(12, 12, seed=4) + 0.3).numpy()
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * root)
    assert frechet(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-9)


def test_frechet_without_full_rank():
    """Features that fill 6 of 64 dimensions are as far apart as the 6 dimensions are."""
    a, b = normal(200, 6, seed=1), normal(150, 6, seed=2) * 1.5 + 1
    into = rotation(64)[:6]
    assert frechet(a @ into, b @ into) == pytest.approx(frechet(a, b), rel=1e-9)
    few = normal(10, 64, seed=3)
    assert frechet(few, few) == pytest.approx(0, abs=1e-9)


def test_frechet_of_spaces_at_right_angles():
    """Where two sets share no direction the overlap is nothing: the distance is the sum of both traces."""
    a, b = torch.zeros(50, 8).double(), torch.zeros(60, 8).double()
    a[:, :3], b[:, 3:] = normal(50, 3), normal(60, 5, seed=1)
    a, b = a - a.mean(0), b - b.mean(0)
    assert frechet(a, b) == pytest.approx((a.var(0).sum() + b.var(0).sum()).item(), rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10), offset=st.floats(-100, 100))
def test_frechet_under_motion(seed, scale, offset):
    """A motion of both sets changes nothing, a scale enters squared, and order of arguments does not matter."""
    a, b, turn = normal(60, 7, seed=seed), 1.3 * normal(50, 7, seed=seed + 1) + 0.2, rotation(7, seed)
    distance = frechet(a, b)
    assert frechet(b, a) == pytest.approx(distance, rel=1e-8)
    assert frechet(scale * a @ turn + offset, scale * b @ turn + offset) == pytest.approx(scale**2 * distance, rel=1e-6)


def test_frechet_says_what_is_wrong():
    with pytest.raises(Problem, match="at least 2 samples"):
        frechet(normal(1, 3), normal(9, 3))
    with pytest.raises(Problem, match="one network"):
        frechet(normal(9, 3), normal(9, 4))


def test_frechet_far_from_the_origin_and_of_half_precision():
    """Features of a mean of 1e4, where E[x²] - E[x]² would lose the spread, and of 16 bits, whose sums would overflow."""
    a, b = normal(300, 5) * 2, normal(200, 5, seed=1)
    assert frechet(a + 1e4, b + 1e4) == pytest.approx(frechet(a, b), rel=1e-8)
    assert frechet(a.half() * 100, b.half() * 100) == pytest.approx(
        frechet((a.half() * 100).double(), (b.half() * 100).double()), rel=1e-12
    )


# KID


def mmd2_by_hand(x, y):
    """Bińkowski et al. 2018: the unbiased MMD² with k(x, y) = (x·y / d + 1)³, pair by pair."""

    def k(p, q):
        return (float(np.dot(p, q)) / len(p) + 1) ** 3

    m, n = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    yy = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    xy = sum(k(x[i], y[j]) for i in range(m) for j in range(n)) / (m * n)
    return xx + yy - 2 * xy


def test_kid_pair_by_pair():
    a, b = normal(14, 3, seed=1), normal(14, 3, seed=2) + 0.4
    value, spread = kid(a, b, subsets=3)
    assert value == pytest.approx(mmd2_by_hand(a.numpy(), b.numpy()), rel=1e-12)
    assert spread == pytest.approx(0, abs=1e-12)  # every subset is the whole


def test_kid_of_subsets_estimates_the_whole():
    a, b = normal(400, 3, seed=1), normal(300, 3, seed=2) + 0.4
    value, spread = kid(a, b, subsets=300, size=40)
    assert spread > 0.01
    assert value == pytest.approx(kid(a[:300], b, subsets=1)[0], abs=4 * spread / 300**0.5 + 0.02)
    assert kid(a, b, subsets=5, size=40, seed=1) != kid(a, b, subsets=5, size=40, seed=2)


def test_kid_between_equals_is_unbiased():
    """Zero in the mean over draws, at every size: what the Fréchet distance is not."""
    for size in (10, 50):
        found = torch.tensor([kid(normal(size, 4, seed=2 * i), normal(size, 4, seed=2 * i + 1), subsets=1)[0] for i in range(300)])
        assert abs(found.mean()) < 4 * found.std() / 300**0.5
        assert (found < 0).any()


# Precision and recall


def precision_recall_by_hand(real, fake, k):
    """Kynkäänniemi et al. 2019, (1) and (2), point by point."""

    def manifold(points):
        return [sorted(np.linalg.norm(points[i] - points[j]) for j in range(len(points)) if j != i)[k - 1] for i in range(len(points))]

    def share(points, centres):
        reach = manifold(centres)
        return np.mean([any(np.linalg.norm(p - c) <= r for c, r in zip(centres, reach, strict=True)) for p in points])

    return share(fake, real), share(real, fake)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_recall_point_by_point(k):
    real, fake = normal(45, 2, seed=1), normal(38, 2, seed=2) + 2
    found = precision_recall(real + 50, fake + 50, k)  # far from the origin
    assert found == pytest.approx(precision_recall_by_hand(real.numpy(), fake.numpy(), k), abs=1e-12)
    assert 0 < found[0] < 1 and 0 < found[1] < 1


def test_precision_recall_in_several_chunks():
    """1,500 and 2,100 points need two and three chunks of rows; SciPy's distances do it in one."""
    real, fake = normal(1500, 3, seed=1).numpy(), (0.8 * normal(2100, 3, seed=2) + 0.5).numpy()
    reach = [np.sort(scipy.spatial.distance.cdist(x, x), axis=1)[:, 3] for x in (real, fake)]
    between = scipy.spatial.distance.cdist(fake, real)
    expected = (between <= reach[0]).any(1).mean(), (between.T <= reach[1]).any(1).mean()
    assert precision_recall(torch.from_numpy(real), torch.from_numpy(fake)) == pytest.approx(expected, abs=1e-12)


def test_precision_without_recall():
    """Samples that know one of two modes are all plausible and cover half; samples elsewhere are neither."""
    left, right = normal(60, 2, seed=1), normal(60, 2, seed=2) + 100
    real, same = torch.cat([left, right]), torch.cat([left, left])
    assert precision_recall(real, same) == (1.0, 0.5)
    assert precision_recall(real, real.clone()) == (1.0, 1.0)
    assert precision_recall(real, real + 1e4) == (0.0, 0.0)
    with pytest.raises(Problem, match="more than 3"):
        precision_recall(real[:3], real)
