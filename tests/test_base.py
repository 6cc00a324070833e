"""Runs that begin with what another one has learnt."""

import pytest
import torch
from safetensors.torch import load_file

import fromnoise
from fromnoise.errors import Problem, Usage
from fromnoise.run import Run
from fromnoise.train import train
from tests.test_train import recipe


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "first"
    train(recipe(train={"steps": 4, "looks": 0}), path, quiet=True)
    return path


def test_a_run_begins_with_anothers_weights_and_settings(first, tmp_path):
    config = {key: value for key, value in recipe(train={"steps": 1, "lr": 1e-12, "looks": 0}).items() if key in ("data", "train", "seed")}
    train(config | {"base": str(first)}, tmp_path / "second", quiet=True)
    was, now = (load_file(path / "model.safetensors") for path in (first, tmp_path / "second"))
    assert was.keys() == now.keys() and all(torch.allclose(was[name], now[name], atol=1e-9) for name in was)
    mine, theirs = Run(tmp_path / "second").config(), Run(first).config()
    assert all(mine[key] == theirs[key] for key in ("network", "noise", "predict") if key in theirs)
    assert mine["base"]["run"] == str(first.resolve())
    assert torch.equal(fromnoise.load(tmp_path / "second", "cpu").sample(2), fromnoise.load(tmp_path / "second", "cpu").sample(2))


@pytest.mark.parametrize(
    ("base", "error", "says"),
    [
        ("nowhere", Problem, "is not there; restore it"),
        ({"folder": "x"}, Usage, "base is a run folder"),
        (3, Usage, "base is a run folder"),
    ],
)
def test_bases_that_cannot_be(base, error, says, tmp_path):
    with pytest.raises(error, match=says):
        train(recipe(train={"steps": 1}) | {"base": base}, tmp_path / "run", quiet=True)


def test_a_base_of_another_network_is_refused(first, tmp_path):
    config = recipe(train={"steps": 1}) | {"base": str(first)}
    config["network"] = {"name": "mlp", "width": 20}
    with pytest.raises(Problem, match="is of another network: denoiser"):
        train(config, tmp_path / "run", quiet=True)


def test_a_base_whose_weights_changed_is_refused(first, tmp_path):
    config = recipe(train={"steps": 1}) | {"base": {"run": str(first), "digest": "0" * 16}}
    with pytest.raises(Problem, match="other weights than the ones"):
        train(config, tmp_path / "run", quiet=True)
