"""Distances between clouds of points, typed out; closed meshes are counted."""

import pytest
import torch
from trimesh import creation

from fromnoise.errors import Problem
from fromnoise.evaluation.metrics.space import chamfer, coverage, watertight


def test_the_chamfer_distance_is_the_one_typed_out():
    a, b = torch.rand(2, 3, 7), torch.rand(3, 3, 5)
    found = chamfer(a, b)
    for i in range(2):
        for j in range(3):
            there = sum(min(sum((p - q) ** 2) for q in b[j].T) for p in a[i].T) / 7
            back = sum(min(sum((p - q) ** 2) for p in a[i].T) for q in b[j].T) / 5
            assert float(found[i, j]) == pytest.approx(float(there + back), rel=1e-4)
    shuffled = a[:, :, torch.randperm(7)]
    assert torch.allclose(chamfer(shuffled, b), found) and chamfer(a, a).diagonal().abs().max() < 1e-9


def test_coverage_counts_the_real_shapes_that_are_met():
    cloud = torch.rand(3, 20)
    real = torch.stack([cloud + 10 * i for i in range(4)])
    assert coverage(real, real) == (1.0, pytest.approx(0, abs=1e-9))
    one, far = coverage(real[:1].expand(4, -1, -1), real)  # a generator of one shape alone
    assert one == 0.25 and far > 100
    moved, near = coverage(real + torch.tensor([0.0, 0.0, 0.1])[:, None], real)
    assert moved == 1.0 and 0 < near <= 0.02 + 1e-6  # each point finds one 0.1 away, or a nearer one, both ways
    with pytest.raises(Problem, match="-n"):
        coverage(real[:0], real)


def test_the_share_of_closed_meshes():
    box = creation.box()
    opened = box.copy()
    opened.update_faces([True] * (len(box.faces) - 1) + [False])
    assert watertight([box, opened, None, creation.icosphere(1)]) == 0.5
    with pytest.raises(Problem):
        watertight([])
