"""Numbers have bounds beside their type, and what is out of them is one line, wherever it was said."""

import subprocess
import sys
from typing import Annotated

import pytest

from fromnoise.config import Recipe, Within, call
from fromnoise.errors import Usage
from fromnoise.evaluation import EvaluateSettings
from fromnoise.model import Sampling


def drawn(steps: Annotated[int, Within(1, 8)], share: Annotated[float, Within(0, 1)] | None = None) -> tuple:
    return steps, share


def test_both_bounds_may_be_taken():
    assert call(drawn, {"steps": 1, "share": 0}, "draw") == (1, 0.0) and call(drawn, {"steps": 8, "share": 1}, "draw") == (8, 1.0)


@pytest.mark.parametrize(("steps", "said"), [(0, "draw: steps is from 1 to 8, not 0"), (9, "from 1 to 8"), (2.5, "a whole number"), ("x", "a whole number")])
def test_what_lies_beyond_is_one_line(steps, said):
    with pytest.raises(Usage, match=said):
        call(drawn, {"steps": steps}, "draw")


@pytest.mark.parametrize("value", [0, -1, 10**12, 2.5, float("nan"), "x", True])
def test_numbers_of_steps_batches_and_samples(value):
    for make in (lambda: Sampling.of({"steps": value}), lambda: Sampling.of({"batch": value}), lambda: call(EvaluateSettings, {"n": value}, "evaluate")):
        with pytest.raises(Usage):
            make()


@pytest.mark.parametrize(
    "settings", [{"shape": [1, 0, 8]}, {"shape": [1, 10**9, 8]}, {"shape": [-1, 8]}, {"data_std": 0}, {"data_std": -1}, {"network": {"name": []}}]
)
def test_recipes_by_hand(settings):
    with pytest.raises(Usage):
        Recipe.of(settings)


def test_a_recipe_whose_evaluation_could_not_be_is_refused_before_training(tmp_path):
    words = ["train", "digits", "evaluate.n=abc", "train.steps=1", "--out", str(tmp_path / "run")]
    answer = subprocess.run([sys.executable, "-m", "fromnoise", *words], capture_output=True, text=True)
    assert answer.returncode == 2 and "evaluate: n is a whole number, not 'abc'" in answer.stderr and not (tmp_path / "run").exists()


def test_what_no_memory_holds_is_one_line(tmp_path):
    words = ["train", "digits", "network.width=4000000", "--out", str(tmp_path / "run")]
    answer = subprocess.run([sys.executable, "-m", "fromnoise", *words], capture_output=True, text=True)
    assert answer.returncode == 1 and "the memory does not hold this" in answer.stderr and "Traceback" not in answer.stderr
