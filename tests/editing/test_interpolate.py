import math

import pytest
import torch

from fromnoise.editing import BLENDS, corners, lerp, path, slerp

A, B = torch.randn(2, 5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("blend", BLENDS.values(), ids=BLENDS)
@pytest.mark.parametrize("other", [B, A, -A, A * (1 + 1e-7), torch.zeros_like(A)], ids=["another", "itself", "opposite", "almost", "zero"])
def test_the_ends_are_exact_bit_for_bit(blend, other):
    assert torch.equal(blend(A, other, 0.0), A) and torch.equal(blend(A, other, 1.0), other)
    assert torch.isfinite(blend(A, other, 0.5)).all()


def test_slerp_of_unit_vectors_is_shoemakes():
    """On the circle: from angle 0.3 to angle 1.7, a share t of the way is the angle 0.3 + 1.4 t."""
    at = lambda angle: torch.tensor([[math.cos(angle), math.sin(angle)]]).double()  # noqa: E731
    for t in (0.0, 0.25, 0.5, 0.9, 1.0):
        assert torch.allclose(slerp(at(0.3), at(1.7), t), at(0.3 + 1.4 * t), atol=1e-14)


def test_slerp_keeps_the_norm_and_lerp_loses_it():
    a, b = torch.randn(2, 4, 1, 64, 64, generator=torch.Generator().manual_seed(1)).double()
    b = b * (a.flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1)).reshape(-1, 1, 1, 1)
    norm = lambda x: x.flatten(1).norm(dim=1)  # noqa: E731
    for t in (0.1, 0.5, 0.8):
        assert torch.allclose(norm(slerp(a, b, t)), norm(a), rtol=1e-10)
    assert torch.allclose(norm(lerp(a, b, 0.5)) / norm(a), torch.tensor(math.sqrt(0.5)).double(), rtol=0.05)
    two = torch.randn(2, 1, 3, 64, 64)  # of any two noises, nearly
    assert norm(slerp(two[0], two[1], 0.5)).item() == pytest.approx(math.sqrt(two[0].numel()), rel=0.05)


def test_each_sample_has_an_angle_and_a_share_of_its_own():
    t = torch.tensor([0.0, 0.2, 0.5, 0.7, 1.0])
    together = slerp(A, B, t)
    for i in range(5):
        assert torch.equal(slerp(A[i : i + 1], B[i : i + 1], float(t[i])), together[i : i + 1])


def test_slerp_is_lerp_where_the_directions_are_the_same():
    assert torch.allclose(slerp(A, 2 * A, 0.3), 1.3 * A, rtol=1e-5)


def test_a_path_meets_every_point():
    points = torch.randn(4, 2, 3)
    way = path(points, 10)
    assert way.shape == (10, 2, 3) and torch.equal(way[::3], points)
    assert torch.allclose(way[4], slerp(points[1:2], points[2:3], 1 / 3)[0], atol=1e-6)


def test_a_square_has_its_points_in_the_corners_and_paths_for_sides():
    points = torch.randn(4, 2, 3)
    square = corners(points, 5).unflatten(0, (5, 5))
    for i, (row, column) in enumerate(((0, 0), (0, 4), (4, 0), (4, 4))):
        assert torch.equal(square[row, column], points[i])
    assert torch.allclose(square[0], path(points[:2], 5), atol=1e-6) and torch.allclose(square[:, 4], path(points[[1, 3]], 5), atol=1e-6)
