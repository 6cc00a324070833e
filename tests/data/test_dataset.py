"""Tensors: values, keys and what it refuses."""

from inspect import signature

import numpy as np
import pytest
import torch

from fromnoise.data import DATASETS, Tensors
from fromnoise.errors import Problem


def test_bytes_become_the_range_of_the_model():
    x = torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(3, 1, 1, 1)
    data = Tensors("mine", x, label=[2, 0, 1], text=["a", "b", "c"])
    batch = data.get(torch.tensor([1, 0, 2]))
    assert batch["x"].flatten().tolist() == pytest.approx([1.0, -1.0, -0.6])
    assert batch["label"].tolist() == [0, 2, 1] and batch["label"].dtype == torch.int64
    assert batch["text"] == ["b", "a", "c"]
    assert (len(data), data.shape, data.keys, data.classes) == (3, (1, 1, 1), ("label", "text"), ("0", "1", "2"))


def test_sixteen_bits_keep_their_steps():
    x = np.arange(65536, dtype=np.uint16).reshape(-1, 1, 1, 1)
    got = Tensors("deep", x).get(torch.arange(65536))["x"].flatten().double()
    assert got[0] == -1 and got[-1] == 1
    assert torch.allclose((got + 1) / 2 * 65535, torch.arange(65536).double(), atol=0.01)


def test_points_stay_as_they_are():
    x = np.array([[40.0, -3.0], [0.0, 1.0]])
    assert Tensors("points", x).get(torch.tensor([0]))["x"].tolist() == [[40.0, -3.0]]


def test_getting_does_not_change_what_is_stored():
    data = Tensors("mine", torch.zeros(4, 1, 2, 2))
    data.get(torch.arange(4))["x"].add_(1)
    assert not data.x.any()


@pytest.mark.parametrize(
    "x, kwargs, words",
    [
        (np.zeros((0, 1, 2, 2), np.uint8), {}, "not empty"),
        (np.zeros(3, np.uint8), {}, "must be"),
        (np.zeros((3, 1, 2, 2), np.int64), {}, "uint8"),
        (np.full((3, 1, 2, 2), 255.0), {}, "uint8"),
        (np.full((3, 1, 2, 2), np.nan), {}, "NaN"),
        (np.zeros((3, 1, 2, 2), np.uint8), {"label": [0, 1]}, "3 examples"),
        (np.zeros((3, 1, 2, 2), np.uint8), {"label": [0, -1, 1]}, "class numbers"),
        (np.zeros((3, 1, 2, 2), np.uint8), {"label": [0.0, 1.0, 2.0]}, "class numbers"),
        (np.zeros((3, 1, 2, 2), np.uint8), {"label": [0, 1, 2], "classes": ("a", "b")}, "only 2 classes"),
        (np.zeros((3, 1, 2, 2), np.uint8), {"text": ["a"]}, "3 examples"),
    ],
)
def test_what_does_not_fit(x, kwargs, words):
    with pytest.raises(Problem, match=words):
        Tensors("mine", x, **kwargs)


def test_batches_are_x_alone():
    data = DATASETS["moons"](count=100)
    drawn = list(data.batches(25, steps=4, seed=1))
    assert [batch.shape for batch in drawn] == [(25, 2)] * 4
    assert torch.equal(torch.cat(drawn).sort(0).values, data.x.sort(0).values)


def test_every_dataset_says_what_it_is():
    for name, make in DATASETS.items():
        assert make.__doc__ and len(make.__doc__.splitlines()[0]) > 20, name
        assert name == "between" or signature(make).parameters["split"].annotation is str, name  # its sets are of a split already


@pytest.mark.parametrize(("whole", "there"), [(None, True), (4 * 1280, True), (4 * 1280 - 1, False)])
def test_a_set_moves_to_a_device_of_which_it_takes_a_quarter_at_most(monkeypatch, whole, there):
    """Pictures of 1,024 bytes and 32 labels of 8: more is gathered in the machine's memory, and moves batch by batch."""
    monkeypatch.setattr("fromnoise.data.dataset.memory", lambda device: whole)
    data = Tensors("mine", torch.zeros(32, 2, 4, 4, dtype=torch.uint8), torch.arange(32))
    moved = data.to("meta")
    assert {moved.x.device.type, moved.label.device.type} == ({"meta"} if there else {"cpu"})
    assert data.x.device.type == "cpu" and (len(moved), moved.classes, moved.shape) == (32, data.classes, (2, 4, 4))
