"""What a recipe will cost."""

import re
import time

import pytest
import torch

from fromnoise.errors import Usage
from fromnoise.networks import NETWORKS, PRESETS
from fromnoise.training.estimate import estimate
from fromnoise.training.flop import flop
from tests.training.test_train import recipe


@pytest.mark.parametrize(
    ("preset", "gigamacs"),
    [
        ("dit_s8", 0.36),
        ("dit_s4", 1.41),
        ("dit_s2", 6.06),
        ("dit_b4", 5.56),
        ("dit_b2", 23.01),
        ("dit_l4", 19.70),
        ("dit_xl8", 7.39),
        ("dit_xl2", 118.64),
    ],
)
def test_operations_are_the_papers(preset, gigamacs):
    """Peebles & Xie 2023, table 4: "Gflops" at latents of 4 x 32 x 32, which are multiply-adds."""
    node = dict(PRESETS[preset])
    with torch.device("meta"):
        network = NETWORKS[node.pop("name")](channels=4, **node)
    assert flop(network, (4, 32, 32)) / 2e9 == pytest.approx(gigamacs, rel=0.02)


def test_a_convolution_by_hand():
    network = NETWORKS["conv"](1, 16, 5)
    by_hand = 2 * 64 * 25 * (16 + 16 * 16 + 16) + 2 * 3 * 16 * 16  # three convolutions; the clock's two layers and the one that tells it
    assert flop(network, (1, 8, 8)) == by_hand


def test_the_whole_run_follows_from_the_speed():
    found = estimate(recipe(train={"steps": 1000, "batch": 64}), seconds=0.2)
    assert 1 <= found.rows <= 64 and found.run_seconds == pytest.approx(1000 * 64 / found.rate)
    assert found.parameters > 1000 and found.fixed >= 16 * found.parameters
    assert any("examples/s" in much for _, much in found.lines()) and any(": 64,000 examples" in much for _, much in found.lines())
    timed = estimate(recipe(train={"steps": None, "minutes": 2}), seconds=0.2)
    assert timed.run_seconds == 120


def test_sampling_is_timed_as_the_recipe_draws():
    def rate(**sample):
        found = estimate(recipe(sample=sample), seconds=0.2)
        assert found.how in dict(found.lines())["sampling"]
        return found.drawn

    assert rate(steps=1) > 20 * rate(steps=1000, name="heun")  # 2,000 evaluations against 1


def test_what_cannot_be_estimated():
    with pytest.raises(Usage, match="some seconds"):
        estimate(recipe(), seconds=0)
    with pytest.raises(Usage, match="patch"):
        estimate(recipe() | {"network": {"name": "dit", "patch": 0}}, seconds=0.1)
    with pytest.raises(Usage, match="did you mean 'inception'"):
        estimate(recipe() | {"data": "tests.parts:never", "evaluate": {"features": "incepton"}}, seconds=0.1)
    with pytest.raises(Usage, match="data tests.parts:label_of needs dim"):
        estimate(recipe() | {"data": "tests.parts:label_of"}, seconds=0.1)
    with pytest.raises(Usage, match="data builtins:object makes a object without shape"):
        estimate(recipe() | {"data": "builtins:object"}, seconds=0.1)
    with pytest.raises(Usage, match="train.tracker none has no settings; leave steps out"):
        estimate(recipe(train={"tracker": {"name": "none", "steps": 3}}), seconds=0.1)


def test_it_says_how_far_to_trust_it(monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 0.0, 0.0))
    said = dict(estimate(recipe(train={"steps": 10}), seconds=0.5).lines())["how far to trust this"]
    assert "load 99.0 on" in said and "steps within" in said


def test_a_step_longer_than_the_time_is_the_only_one(monkeypatch):
    """With steps of 0.4 s and 0.5 s to measure, one step is taken, and drawing is reckoned."""
    from fromnoise.training.step import Gradient

    real, taken = Gradient.__call__, []
    monkeypatch.setattr(Gradient, "__call__", lambda self, *rest: (time.sleep(0.4), taken.append(1), real(self, *rest))[2])
    found = estimate(recipe(train={"steps": 10}), seconds=0.5)
    assert len(taken) == 1 and found.seconds >= 0.4 * found.batch
    assert "only 1 step measured" in found.trust and "drawing was not measured" in found.trust
    assert "longer than" not in found.trust
    said = estimate(recipe(train={"steps": 10}), seconds=0.3).trust
    assert re.search(r"gradients of one example and an update took 0\.\d+ s, longer than --seconds 0\.3", said)


def test_a_slow_update_is_taken_once_a_step_and_not_for_every_example(monkeypatch):
    """An update of 0.3 s and 64 examples in 0.1 s or less: a step takes 0.3 s and a little, as measured with few examples at once."""
    from fromnoise.training.ema import EMA

    monkeypatch.setattr(EMA, "update", lambda self, *rest: time.sleep(0.3))
    found = estimate(recipe(train={"steps": 10, "batch": 64}), seconds=0.1)
    assert 0.3 < found.seconds < 64 * 0.3 / 2 and found.run_seconds == pytest.approx(10 * found.seconds)
