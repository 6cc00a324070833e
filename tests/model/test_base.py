"""Runs that begin with what another one has learnt."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

import fromnoise
from fromnoise import model as base
from fromnoise.config import Recipe
from fromnoise.errors import Problem, Usage
from fromnoise.runs.folder import Run
from fromnoise.training.loop import train
from tests.training.test_train import recipe


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "first"
    train(recipe(train={"steps": 4, "evals": 0}), path, quiet=True)
    return path


def test_a_run_begins_with_anothers_weights_and_settings(first, tmp_path):
    config = {key: value for key, value in recipe(train={"steps": 1, "lr": 1e-12, "evals": 0}).items() if key in ("data", "train", "seed")}
    train(config | {"base": str(first)}, tmp_path / "second", quiet=True)
    was, now = (load_file(path / "model.safetensors") for path in (first, tmp_path / "second"))
    assert was.keys() == now.keys() and all(torch.allclose(was[name], now[name], atol=1e-9) for name in was)
    mine, theirs = Run(tmp_path / "second").recipe(True).as_dict(), Run(first).recipe(True).as_dict()
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
    with pytest.raises(Problem, match="is of another network: denoiser.*; leave out the settings of the network"):
        train(config, tmp_path / "run", quiet=True)


def test_a_base_whose_weights_changed_is_refused(first, tmp_path):
    config = recipe(train={"steps": 1}) | {"base": {"run": str(first), "digest": "0" * 16}}
    with pytest.raises(Problem, match="other weights than the ones"):
        train(config, tmp_path / "run", quiet=True)


def test_parts_of_its_own_are_run_only_when_trusted(tmp_path):
    theirs = recipe(train={"steps": 1, "evals": 0}) | {"network": {"name": "tests.parts:Plain"}}
    train(theirs, tmp_path / "theirs", quiet=True)
    config = {key: value for key, value in theirs.items() if key != "network"} | {"base": str(tmp_path / "theirs")}
    with pytest.raises(Problem, match="loading it runs that code"):
        train(config, tmp_path / "mine", quiet=True)
    train(config, tmp_path / "mine", quiet=True, trust=True)


@pytest.mark.parametrize("node", [{"name": "mlp", "time": "tests.parts:Plain"}, {"name": "dit", "act": "tests.parts:blobs"}], ids=str)
def test_parts_of_ones_own_within_a_network_are_not_run_either(node):
    with pytest.raises(Problem, match=r"names tests\.parts:\w+, a part of somebody.s own; loading it runs that code"):
        Recipe.of({"network": node}).check_trusted(False, "runs/x")


def test_what_ones_own_network_keeps_frozen_is_saved(tmp_path):
    train(recipe(train={"steps": 3, "evals": 0}) | {"network": {"name": "tests.parts:Plain", "frozen": True}}, tmp_path / "run", quiet=True)
    tensors = load_file(tmp_path / "run" / "model.safetensors")
    assert "denoiser.network.first.weight" in tensors
    assert fromnoise.load(tmp_path / "run", "cpu", trust=True).sample(2).shape == (2, 1, 8, 8)


def test_conditions_keep_the_bases_order_and_are_named(first, tmp_path):
    theirs = base.Base(Recipe.of({"conditions": [{"name": "label"}, {"name": "image", "hint": "grey"}]}), {}, {"run": "x"})
    mine = Recipe.of({"conditions": ["text", {"name": "label", "drop": 0.3}]})
    assert [node["name"] for node in base.inherited(mine, theirs).conditions] == ["label", "image", "text"]
    assert base.inherited(mine, theirs).conditions[0] == {"name": "label", "drop": 0.3}
    for conditions, says in (([{"hint": "edges"}], "each condition is a name, or a mapping with one"), (5, "conditions is a name, or a mapping")):
        with pytest.raises(Usage, match=says):
            train(recipe(train={"steps": 1}) | {"base": str(first), "conditions": conditions}, tmp_path / "run", quiet=True)


def test_a_run_goes_on_where_its_base_has_moved(first, tmp_path):
    moved = shutil.copytree(first, tmp_path / "moved")
    config = {key: value for key, value in recipe(train={"steps": 2, "evals": 0}).items() if key in ("data", "train", "seed")}
    train(config | {"base": str(first)}, tmp_path / "run", quiet=True)
    train(config | {"base": str(moved), "train": config["train"] | {"steps": 4}}, tmp_path / "run", quiet=True)
    assert max(entry["step"] for entry in Run(tmp_path / "run").entries()) == 4
