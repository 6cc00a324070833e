"""Every recipe, cut and resumed, is the run that was not cut, bit for bit."""

from pathlib import Path

import pytest
import torch
from torch.utils import _pytree

from fromnoise import config, figures
from fromnoise.runs.folder import Run
from fromnoise.training.loop import train
from tests.training.test_length import cut_at, lines

HERE = ("digits", "moons", "checkerboard")  # sets that are small and need no file
SHORT = {"steps": 9, "batch": 8, "warmup": 40, "log_every": 4, "evals": 2, "held_out": 8, "save_every": 7}


def alike(node: dict) -> dict:
    """A set of the same kind that is small and on every machine."""
    if node["name"] == "between":
        return node | {key: alike(node[key]) for key in ("x", "source")}
    if node["name"] == "meshes":
        return {"name": "tests.parts:stand_in", "like": "clouds" if "points" in node else "volumes"}
    if node["name"] == "lines":
        return {"name": "tests.parts:stand_in", "like": "lines"}
    flip = {"flip": node["flip"]} if "flip" in node else {}
    return ({"name": node["name"]} if node["name"] in HERE else {"name": "tests.parts:stand_in", "like": node["name"]}) | flip


def small(name: str, folder: Path) -> dict:
    """A recipe with its kind of data, network, conditions, optimizer and sampler, but little of each; a base is trained in `folder`."""
    recipe = config.load(name).as_dict()
    recipe["data"] = alike(recipe["data"])
    recipe["train"] = {key: value for key, value in recipe["train"].items() if key not in config.LENGTHS} | SHORT
    if "network" in recipe:
        recipe["network"] = recipe["network"] | {"width": 8} | ({"head": 8} if "head" in recipe["network"] else {})
    if "sample" in recipe:
        recipe["sample"] = recipe["sample"] | {"steps": 2}
    for condition in recipe.get("conditions", ()):
        if "width" in condition:
            condition["width"] = 16
    if "base" in recipe:
        base = folder / Path(recipe["base"]).name
        if not base.exists():
            train(small(base.name, folder), base, quiet=True)
        recipe["base"] = str(base)
    if "/" in recipe.get("autoencoder", {}).get("name", ""):  # the run of another recipe
        stage = folder / Path(recipe["autoencoder"]["name"]).name
        if not stage.exists():
            train(small(stage.name, folder), stage, quiet=True)
        recipe["autoencoder"] = str(stage)
    return recipe


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


@pytest.mark.slow
@pytest.mark.parametrize("name", config.recipes())
def test_a_recipe_that_is_cut_and_resumed_is_the_run_that_was_not(tmp_path, bases, monkeypatch, name):
    for picture in ("progress", "report", "reverse_gif"):  # they take most of such a short run, and have tests of their own
        monkeypatch.setattr(figures, picture, lambda run, *rest, **more: run)
    recipe = small(name, bases)
    train(recipe, tmp_path / "whole", quiet=True)
    cut_at(5, monkeypatch, lambda: train(recipe, tmp_path / "cut", quiet=True))
    train(recipe, tmp_path / "cut", quiet=True)
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole") and len(lines(tmp_path / "whole")) == 4 + 2
    one, two = (Run(tmp_path / folder).load_checkpoint() for folder in ("whole", "cut"))
    for part in ("model", "ema", "optimizer"):
        a, b = (_pytree.tree_leaves(saved[part]) for saved in (one, two))
        assert len(a) == len(b) and all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in zip(a, b, strict=True))
