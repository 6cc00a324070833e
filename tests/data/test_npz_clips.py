"""Clips and volumes in one .npz, their channels last or after their number."""

import numpy as np
import pytest
import torch

from fromnoise import config
from fromnoise.data import DATASETS
from fromnoise.data.inspect.inspect import inspect
from fromnoise.errors import Problem, Usage

RNG = np.random.default_rng(0)


def saved(path, shape, dtype=np.uint8):
    x = RNG.integers(0, 256, shape).astype(dtype)
    np.savez(path, x)
    return x


def read(path, **settings):
    return config.build(DATASETS, {"name": "npz", "path": str(path), "held_out": 0, **settings}, "data")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_are_found_on_either_side(tmp_path, channels):
    last = saved(tmp_path / "a.npz", (5, 6, 8, 9, channels))
    np.savez(tmp_path / "b.npz", last.transpose(0, 4, 1, 2, 3))
    for name in ("a", "b"):
        data = read(tmp_path / f"{name}.npz")
        assert data.shape == (channels, 6, 8, 9) and data.medium is None and data.rate == 0
        assert np.array_equal(data.take(torch.arange(5))["x"].numpy(), last.transpose(0, 4, 1, 2, 3))


def test_the_medium_and_rate_are_as_they_are_said(tmp_path):
    saved(tmp_path / "a.npz", (5, 1, 6, 8, 8))
    data = read(tmp_path / "a.npz", medium="videos", rate=12)
    assert (data.medium, data.rate) == ("videos", 12.0)
    saved(tmp_path / "b.npz", (5, 8, 8, 3))
    with pytest.raises(Usage, match="holds pictures, .* leave them out"):
        read(tmp_path / "b.npz", medium="videos")
    with pytest.raises(Usage, match="videos or volumes"):
        read(tmp_path / "a.npz", medium="films")


@pytest.mark.parametrize(
    ("shape", "dtype", "line"),
    [((5, 6, 8, 8, 7), np.uint8, "clips have 1, 3 or 4 channels"), ((5, 1, 6, 8, 8), np.float32, "it must be uint8"), ((0, 1, 6, 8, 8), np.uint8, "not empty")],
)
def test_other_arrays_are_a_line(tmp_path, shape, dtype, line):
    saved(tmp_path / "a.npz", shape, dtype)
    with pytest.raises(Problem, match=line):
        read(tmp_path / "a.npz")


def test_they_are_not_inspected(tmp_path):
    saved(tmp_path / "a.npz", (5, 6, 8, 8, 3))
    with pytest.raises(Problem, match="holds clips or volumes, .* which are not inspected; train on them"):
        inspect(tmp_path / "a.npz")
