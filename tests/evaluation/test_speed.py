import json
import time

import pytest
import torch
from rich.console import Console
from torch import nn

from fromnoise.data import DATASETS, Tensors
from fromnoise.errors import Problem, Usage
from fromnoise.evaluation import (
    Card,
    Comparison,
    FeatureNet,
    Protocol,
    Row,
    Timed,
    count_calls,
    evaluate,
    parse_samplers,
    protocol,
    time_sampling,
)
from fromnoise.model import Model, Sampling
from tests.parts import blobs, built


def test_time_is_the_median_without_the_first_call(monkeypatch):
    clock, durations = [0.0], iter([100.0, 3.0, 1.0, 50.0, 2.0, 4.0])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def draw():
        clock[0] += next(durations)

    assert time_sampling(draw, repeats=5) == 3.0


def test_samplers_and_steps_are_read():
    assert parse_samplers("ddim:50, dpmpp_2m:20,my.part:Walk:3") == [("ddim", 50), ("dpmpp_2m", 20), ("my.part:Walk", 3)]
    for wrong in ("ddim", "ddim:", ":5", "ddim:0", "ddim:x", "ddim:²", "ddim:5,", ""):
        with pytest.raises(Usage, match="SAMPLER:STEPS"):
            parse_samplers(wrong)


def test_calls_are_counted_by_examples_and_no_longer_than_inside():
    layer = nn.Linear(2, 2)
    with count_calls(layer) as calls:
        layer(torch.zeros(3, 2)), layer(torch.zeros(5, 2))
    layer(torch.zeros(7, 2))
    assert calls == [3, 5]


@pytest.fixture(scope="module")
def toy():
    train, test = (DATASETS["moons"](count=500, split=split) for split in ("train", "test"))
    torch.manual_seed(0)
    return built({"network": "mlp", "predict": "velocity", "noise": "flow"}, train.shape), train, test


def evaluated(toy, sampling=None, progress=None, **protocol):
    return evaluate(*toy, Protocol(**protocol), sampling or toy[0].sampling, progress)


def test_a_points_run_is_measured_as_points(toy):
    card = evaluated(toy, n=200)
    assert isinstance(card, Card) and card.n == 200 and card["distance to data"].value > card["distance to data"].floor
    assert card == evaluated(toy, n=200)
    other = evaluated(toy, Sampling(seed=1), n=200)  # other samples, the same real data
    assert [row.value for row in card.rows] != [row.value for row in other.rows] and card.rows[0].floor == other.rows[0].floor
    assert evaluated(toy, n=200, seed=1)["energy"].floor != card["energy"].floor


def test_samplers_side_by_side(toy):
    """Heun needs two evaluations a step but the last, DDIM one."""
    seen = []
    found = evaluated(toy, Sampling(batch=100), lambda *done: seen.append(done), n=150, compare=[("heun", 5), ("ddim", 10)])
    assert isinstance(found, Comparison)
    assert [(row.sampler, row.steps, row.nfe) for row in found.rows] == [("heun", 5, 9), ("ddim", 10, 10)]
    assert found.rows[1].card == evaluated(toy, Sampling("ddim", 10), n=150)
    assert seen == sorted(seen) and seen[-1] == (300, 300) and {(100, 300), (150, 300), (250, 300)} <= set(seen)
    assert len(json.loads(json.dumps(found.json()))["rows"]) == 2
    with pytest.raises(Usage, match="ddmi"):
        evaluated(toy, n=150, compare=[("ddim", 5), ("ddmi", 5)])


def test_comparison_table():
    near, far = (Card("t", "f", 9, 9, "p", [Row("Fréchet distance · f", value, 1.0)]) for value in (2.0, 3.0))
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(Comparison([Timed("ddim", 50, 50, 0.1, far), Timed("ddim", 1000, 1000, 2.0, near)]).table())
    line = next(line for line in console.export_text().splitlines() if "ddim:50 " in line)
    assert "20.0" in line and "1.500" in line  # twenty times as fast, one and a half times as far


class Halves(FeatureNet):
    """Sees how bright the left half of a picture is, and how bright the right."""

    name, accuracy = "halves", None

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images):
        features = torch.stack([half.mean((1, 2, 3)) for half in images.chunk(2, 3)], 1) * self.weight
        return features, features


def seen_in_halves(train, test, device):
    return Halves()


RECIPE = {"network": {"name": "unet", "width": 8, "levels": [1]}, "conditions": ["label"]}


@pytest.mark.parametrize("features", [seen_in_halves, f"{__name__}:seen_in_halves"])
def test_a_conditional_run_is_measured_over_every_class_in_turn(monkeypatch, features):
    data = blobs()
    model, drawn = built(RECIPE, data.shape, data.classes), []

    def sample(self, n, sampling, progress, label):
        drawn.append((n, sampling, label.tolist()))
        return data.get(label)["x"]  # picture 0 is of class 0, picture 1 of class 1: a perfect model

    monkeypatch.setattr(Model, "sample", sample)
    sampling = Sampling(steps=3)
    card = evaluate(model, data, data, Protocol(10, features), sampling)
    assert drawn == [(10, sampling, [0, 1] * 5)]
    assert card["class accuracy"].value == card["class accuracy: left"].value == 1 and card["class accuracy"].floor == 1


@pytest.fixture
def unguided(monkeypatch):
    """A model that never trained without its label, and its data; whoever wants a feature network wants it too early."""
    monkeypatch.setattr(protocol, "load_features", lambda *ignored: pytest.fail("a network is trained before the settings are checked"))
    data = blobs()
    return built(RECIPE | {"conditions": [{"name": "label", "drop": 0}]}, data.shape, data.classes), data


@pytest.mark.parametrize(
    ("sampling", "protocol", "says"),
    [
        ({}, {"compare": [("ddmi", 5)]}, "no sampler 'ddmi'"),
        ({}, {"compare": [("ddim", 0)]}, "steps is a whole number from 1 to"),
        ({"guidance": 2.0}, {}, "use guidance 1"),
        ({}, {"scales": [1.0, 2.0]}, "use guidance 1"),
    ],
)
def test_what_cannot_be_drawn_is_said_first(unguided, sampling, protocol, says):
    model, data = unguided
    with pytest.raises(Usage, match=says):
        evaluate(model, data, data, Protocol(**protocol), Sampling(**sampling))


def test_other_data_is_refused_first(unguided):
    model, data = unguided
    with pytest.raises(Problem, match=r"\(1, 8, 8\).*\(1, 10, 10\).*it was trained on"):
        evaluate(model, data, blobs(size=10), Protocol(), Sampling())
    other = Tensors("other", data.x, data.label, classes=("up", "down"))
    with pytest.raises(Problem, match=r"\(left, right\).*\(up, down\).*it was trained on"):
        evaluate(model, other, other, Protocol(), Sampling())


def test_the_distance_compared_is_one_where_captions_are_judged_as_well():
    def card(distance, obeyed):
        return Card("t", "f", 9, 9, "p", [Row("captions obeyed", obeyed, 1.0, better="higher"), Row("Fréchet distance · f", distance, 1.0)])

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(Comparison([Timed("ddim", 10, 10, 0.1, card(3.0, 0.9)), Timed("ddim", 50, 50, 0.5, card(2.0, 0.9))]).table())
    assert "1.500" in next(line for line in console.export_text().splitlines() if "ddim:10 " in line)
