import json
import time

import pytest
import torch
from rich.console import Console
from torch import nn

from fromnoise import model as models
from fromnoise.data import DATASETS, Tensors
from fromnoise.errors import Problem, Usage
from fromnoise.evaluation import Card, Comparison, FeatureNet, Row, Timed, run, score_run, time_sampling
from fromnoise.evaluation.speed import parse
from tests.parts import blobs


def test_time_is_the_median_without_the_first_call(monkeypatch):
    clock, durations = [0.0], iter([100.0, 3.0, 1.0, 50.0, 2.0, 4.0])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def draw():
        clock[0] += next(durations)

    assert time_sampling(draw, repeats=5) == 3.0


def test_parse():
    assert parse("ddim:50, dpmpp_2m:20") == [("ddim", 50), ("dpmpp_2m", 20)]
    for wrong in ("ddim", "ddim:", ":5", "ddim:0", "ddim:x", "ddim:5,", ""):
        with pytest.raises(Usage, match="SAMPLER:STEPS"):
            parse(wrong)


@pytest.fixture(scope="module")
def toy():
    train, test = (DATASETS["moons"](count=500, split=split) for split in ("train", "test"))
    torch.manual_seed(0)
    return models.build({"network": "mlp", "predict": "velocity", "noise": "flow"}, train.shape), train, test


def test_a_points_run_is_measured_as_points(toy):
    card = score_run(*toy, n=200)
    assert isinstance(card, Card) and card.n == 200 and card["distance to data"].value > card["distance to data"].floor
    assert card == score_run(*toy, n=200)
    assert card != score_run(*toy, n=200, seed=1)


def test_samplers_side_by_side(toy):
    """Heun needs two evaluations a step but the last, DDIM one."""
    found = score_run(*toy, n=150, compare="heun:5,ddim:10")
    assert isinstance(found, Comparison)
    assert [(row.sampler, row.steps, row.nfe) for row in found.rows] == [("heun", 5, 9), ("ddim", 10, 10)]
    assert found.rows[1].card == score_run(*toy, n=150, walk={"sampler": "ddim", "steps": 10})
    assert len(json.loads(json.dumps(found.json()))["rows"]) == 2
    with pytest.raises(Usage, match="ddmi"):
        score_run(*toy, n=150, compare="ddim:5,ddmi:5")


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


def test_a_conditional_run_is_asked_for_every_class_in_turn(monkeypatch):
    monkeypatch.setattr(run, "load_features", lambda spec, train, test, device: {"cnn": Halves()}[spec])
    data = blobs()
    model = models.build({"network": {"name": "unet", "width": 8, "levels": [1]}, "conditions": ["label"]}, data.shape, data.classes)
    asked = []

    def draw(model, n, seed, batch, walk, conditions):
        asked.append((n, walk, conditions["label"].tolist()))
        return data.get(conditions["label"])["x"]  # picture 0 is of class 0, picture 1 of class 1: a perfect model

    card = score_run(model, data, data, n=10, walk={"steps": 3}, draw=draw)
    assert asked == [(10, {"steps": 3}, [0, 1] * 5)]
    assert card["class accuracy"].value == card["class accuracy: left"].value == 1 and card["class accuracy"].floor == 1


@pytest.fixture
def unguided(monkeypatch):
    """A model that never trained without its label, and its data; whoever asks for a feature network asks too early."""
    monkeypatch.setattr(run, "load_features", lambda *ignored: pytest.fail("a network is trained before the question is checked"))
    data = blobs()
    config = {"network": {"name": "unet", "width": 8, "levels": [1]}, "conditions": [{"name": "label", "drop": 0}]}
    return models.build(config, data.shape, data.classes), data


@pytest.mark.parametrize(
    "asked, words",
    [
        ({"walk": {"sampler": "ddmi"}}, "no sampler 'ddmi'"),
        ({"walk": {"steps": 0}}, "at least 1 step"),
        ({"walk": {"options": {"eat": 1}}}, "no option 'eat'"),
        ({"walk": {"options": {"eat": 1}}, "compare": "ddim:5,ddim:9"}, "no option 'eat'"),
        ({"walk": {"guidance": 2.0}}, "use guidance 1"),
        ({"sweep": "1,2"}, "use guidance 1"),
    ],
)
def test_what_cannot_be_asked_is_said_first(unguided, asked, words):
    model, data = unguided
    with pytest.raises(Usage, match=words):
        score_run(model, data, data, **asked)


def test_other_data_is_refused_first(unguided):
    model, data = unguided
    with pytest.raises(Problem, match=r"\(1, 8, 8\).*\(1, 10, 10\).*it was trained on"):
        score_run(model, data, blobs(size=10))
    other = Tensors("other", data.x, data.label, classes=("up", "down"))
    with pytest.raises(Problem, match=r"\(left, right\).*\(up, down\).*it was trained on"):
        score_run(model, other, other)


def test_the_distance_compared_is_one_where_captions_are_judged_as_well():
    def card(distance, obeyed):
        return Card("t", "f", 9, 9, "p", [Row("captions obeyed", obeyed, 1.0, better="higher"), Row("Fréchet distance · f", distance, 1.0)])

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(Comparison([Timed("ddim", 10, 10, 0.1, card(3.0, 0.9)), Timed("ddim", 50, 50, 0.5, card(2.0, 0.9))]).table())
    assert "1.500" in next(line for line in console.export_text().splitlines() if "ddim:10 " in line)
