"""Numbers have bounds beside their type, and what is out of them is one line, wherever it was said."""

import subprocess
import sys
from typing import Annotated

import pytest

from fromnoise.config import Recipe, Within, build, call
from fromnoise.errors import Usage
from fromnoise.evaluation import EvaluateSettings
from fromnoise.model import Sampling
from fromnoise.networks import NETWORKS
from fromnoise.training.settings import TrainSettings


def drawn(steps: Annotated[int, Within(1, 8)], share: Annotated[float, Within(0, 1)] | None = None) -> tuple:
    return steps, share


def test_both_bounds_may_be_taken():
    assert call(drawn, {"steps": 1, "share": 0}, "draw") == (1, 0.0) and call(drawn, {"steps": 8, "share": 1}, "draw") == (8, 1.0)


WRONG = [(0, "draw: steps is a whole number from 1 to 8, not 0"), (9, "from 1 to 8"), (2.5, "a whole number"), ("x", "a whole number")]


@pytest.mark.parametrize(("steps", "said"), WRONG)
def test_what_lies_beyond_is_one_line(steps, said):
    with pytest.raises(Usage, match=said):
        call(drawn, {"steps": steps}, "draw")


@pytest.mark.parametrize("value", [0, -1, 10**12, 2.5, float("nan"), "x", True])
def test_numbers_of_steps_batches_and_samples(value):
    for make in (lambda: Sampling.of({"steps": value}), lambda: Sampling.of({"batch": value}), lambda: call(EvaluateSettings, {"n": value}, "evaluate")):
        with pytest.raises(Usage):
            make()


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("steps", [0, 10**30, 2.5]),
        ("minutes", [0, -1, float("inf"), float("nan"), 1e300]),
        ("batch", [0, 10**12]),
        ("lr", [0, -1e-3, "1e-3", True, None, float("inf")]),
        ("workers", [-1, 10**6]),
        ("save_every", [0, "often"]),
        ("betas", [[0.9, 1.5], [-0.1, 0.9]]),
        ("penalty_weight", ["abc"]),
    ],
)
def test_settings_of_training(key, values):
    for value in values:
        with pytest.raises(Usage, match=rf"train: {key} is"):
            call(TrainSettings, {"images": 1000, "steps": None, key: value}, "train")


@pytest.mark.parametrize("settings", [{"name": "unet", "blocks": 65536}, {"name": "dit", "depth": 10**6}, {"name": "uvit", "depth": 10**6 + 1}])
def test_networks_of_endless_depth_are_refused_before_they_are_built(settings):
    with pytest.raises(Usage, match="from 1 to 256"):
        build(NETWORKS, settings, "network")


def test_bounds_are_said_of_each_number_of_a_list():
    def take(sides: list[Annotated[int, Within(1, 9)]]) -> None: ...

    with pytest.raises(Usage, match="take: sides is a list of whole numbers from 1 to 9, not 5"):
        call(take, {"sides": 5}, "take")


@pytest.mark.parametrize(
    "settings", [{"seed": 10**20}, {"shape": [1, 0, 8]}, {"shape": [1, 10**9, 8]}, {"shape": [-1, 8]}, {"data_std": 0}, {"data_std": -1}, {"network": {"name": []}}]
)
def test_recipes_by_hand(settings):
    with pytest.raises(Usage):
        Recipe.of(settings)


def test_a_recipe_whose_evaluation_could_not_be_is_refused_before_training(tmp_path):
    words = ["train", "digits", "evaluate.n=abc", "train.steps=1", "--out", str(tmp_path / "run")]
    answer = subprocess.run([sys.executable, "-m", "fromnoise", *words], capture_output=True, text=True)
    assert answer.returncode == 2 and "evaluate: n is a whole number from 2 to 1,000,000, not 'abc'" in answer.stderr and not (tmp_path / "run").exists()


def test_what_no_memory_holds_is_one_line(tmp_path):
    words = ["train", "digits", "network.width=60000", "network.levels=[1]", "--out", str(tmp_path / "run")]
    answer = subprocess.run([sys.executable, "-m", "fromnoise", *words], capture_output=True, text=True)
    assert answer.returncode == 1 and "the memory does not hold this" in answer.stderr and "Traceback" not in answer.stderr
