"""Runs that are told pictures, from training to the command line: what they remember, resume, draw, and say to wrong input."""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.cli.pictures import images_of
from fromnoise.model import load
from fromnoise.runs.folder import Run
from fromnoise.training.loop import train
from tests.cli.test_cli import call
from tests.training.test_train import cut_short, recipe, same


def told(hint=None, data="tests.parts:paired", **changes):
    node = {"name": "image"} | ({"hint": hint} if hint else {}) | changes.pop("condition", {})
    return recipe(conditions=[node], **changes) | {"data": {"name": data, "flip": True}}


@pytest.fixture(scope="module")
def paired(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "paired"
    train(told(train={"steps": 30}), folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def filling(tmp_path_factory) -> Path:
    """A run that fills holes."""
    folder = tmp_path_factory.mktemp("runs") / "filling"
    train(told("masked", "tests.parts:blobs"), folder, quiet=True)
    return folder


def test_a_run_knows_its_pictures_without_the_data(paired, monkeypatch):
    assert Run(paired).recipe(trust=True).image == (1, 8, 8)
    monkeypatch.setattr("tests.parts.paired", None)
    model = load(paired, trust=True)
    assert model.conditions["image"].shape == (1, 8, 8) and model.with_defaults(70, {})["image"].shape == (70, 1, 8, 8)
    assert torch.allclose(model.with_defaults(70, {})["image"].unique(), torch.tensor([-1.0, 220 / 127.5 - 1]))
    assert model.sample(3).shape == (3, 3, 8, 8)


@pytest.mark.parametrize("hint", [None, "masked", "grey"])
def test_a_cut_and_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch, hint):
    config = told(hint, condition={"drop": 0.3}, train={"steps": 12, "save_every": 4, "evals": 1})
    train(config, tmp_path / "whole", quiet=True)
    cut_short(config, tmp_path / "cut", monkeypatch, lambda state: state.step == 10)
    train(config, tmp_path / "cut", quiet=True)
    assert same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("hint", [None, "masked"])
def test_estimate_knows_pictures(monkeypatch, hint):
    from fromnoise.training.estimate import estimate

    assert estimate(told(hint), seconds=0.1).flop > estimate(recipe(conditions=[]) | {"data": "tests.parts:paired"}, seconds=0.1).flop


def save(path: Path, pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def test_a_picture_or_a_folder_of_them_in_turn(paired, tmp_path):
    one, two = (np.full((20, 10, 3), value) for value in (255, 0))  # higher than wide: cut square
    save(tmp_path / "pictures" / "a.png", one), save(tmp_path / "pictures" / "b.png", two)
    model = load(paired, trust=True)
    asked = images_of(model, tmp_path / "pictures", None, 5)["image"]
    assert asked.shape == (5, 1, 8, 8) and asked[:, 0, 3, 3].tolist() == [1, -1, 1, -1, 1]
    assert images_of(model, tmp_path / "pictures" / "b.png", None, 5)["image"].unique().tolist() == [-1]
    assert images_of(model, None, None, 5) == {}


def test_transparent_pictures_are_laid_on_the_background_of_the_runs_data(paired, tmp_path):
    clear = save(tmp_path / "clear.png", np.zeros((8, 8, 4)))
    model = load(paired, trust=True)
    for data, value in (({}, 1), ({"background": "black"}, -1), ("mnist", 1)):
        assert images_of(model, clear, None, 1, data)["image"].unique().tolist() == [value]


def test_a_hint_is_made_from_an_ordinary_picture(tmp_path):
    train(told("grey"), tmp_path / "run", quiet=True)
    red = save(tmp_path / "red.png", np.broadcast_to([255, 0, 0], (8, 8, 3)))
    value = images_of(load(tmp_path / "run", trust=True), red, None, 2)["image"]
    assert torch.allclose(value, torch.tensor(0.299 - 0.587 - 0.114), atol=1e-6) and value.shape == (1, 1, 8, 8)


def test_a_mask_says_what_is_made_anew_and_the_rest_is_kept_to_the_grey_value(filling, tmp_path, monkeypatch, capsys):
    pixels = np.arange(64).reshape(8, 8) * 4
    mask = np.zeros((8, 8))
    mask[2:5, 3:] = 255
    words = ["--image", save(tmp_path / "in.png", pixels), "--mask", save(tmp_path / "mask.png", mask)]
    assert call(monkeypatch, capsys, "sample", filling, "-n", 3, *words, "--trust", "--out", tmp_path / "out.npz")[0] == 0
    out = np.load(tmp_path / "out.npz")["arr_0"][..., 0].astype(int)
    assert (out[:, mask == 0] == pixels[mask == 0]).all()
    assert (out[:, mask > 0] != pixels[mask > 0]).mean() > 0.5 and (out[0] != out[1]).any()


def test_strips_and_grids_show_what_was_asked(paired, filling, tmp_path, monkeypatch, capsys):
    for run in (paired, filling):
        code, said, _ = call(
            monkeypatch, capsys, "show", "condition", run, "--rows", 3, "-n", 2, "--trust", "--out", tmp_path / "strip.png"
        )
        assert code == 0 and "strip.png" in said
        with Image.open(tmp_path / "strip.png") as picture:
            assert picture.width > 4 * 64 and picture.height > 3 * 64
    blue = (np.asarray(Image.open(filling / "samples" / "final.png").convert("RGB")) == (31, 98, 168)).all(-1)
    assert blue.mean() > 0.02, "holes are seen in the grids of a training run"


def test_the_strip_holds_inputs_samples_and_truth(paired, monkeypatch):
    module = importlib.import_module("fromnoise.figures.condition")  # the package's name of it is the function
    from tests.parts import paired as data

    seen = {}
    monkeypatch.setattr(module, "strip", lambda rows, names, columns: seen.update(rows=rows, names=names, columns=columns))
    model = load(paired, trust=True)
    module.condition(model, data(), 2, 4, replace(model.sampling, seed=3))
    assert seen["columns"] == ["image", "sample 1", "sample 2", "truth"] and seen["names"] == ["left", "left", "left", "left"]
    batch = data().get(torch.arange(4) * 16)
    samples = [model.sample(4, seed=3 + i, image=batch["image"]) for i in range(2)]
    for i, row in enumerate(seen["rows"]):
        for tile, wanted in zip(row, (batch["image"][i], samples[0][i], samples[1][i], batch["x"][i]), strict=True):
            pixels = np.asarray(tile).reshape(64, 64, -1)[4::8, 4::8].transpose(2, 0, 1)  # each pixel is enlarged to 8
            assert np.abs(pixels / 127.5 - 1 - wanted.numpy()).max() < 0.005


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--image", "nowhere.png"], 2, "there is no picture nowhere.png"),
        (["--image", "text.png"], 1, "text.png: it is no picture"),
        (["--image", "empty"], 1, "no pictures in empty"),
        (["--mask", "grey.png"], 2, "give that as well"),
        (["--image", "grey.png", "--mask", "grey.png"], 2, "not trained to fill holes"),
    ],
)
def test_wrong_pictures_are_one_line(paired, tmp_path, monkeypatch, capsys, words, code, says):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "grey.png", np.zeros((4, 4)))
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty").mkdir()
    got, _, err = call(monkeypatch, capsys, "sample", paired, "--trust", *words)
    assert got == code and says in err and err.strip().count("\n") == 0 and not (tmp_path / "samples.png").exists()


def test_a_run_that_is_told_nothing_says_so(tmp_path, monkeypatch, capsys):
    train(recipe(conditions=[]), tmp_path / "free", quiet=True)
    picture = save(tmp_path / "grey.png", np.zeros((4, 4)))
    for words in (["sample", tmp_path / "free", "--image", picture], ["show", "condition", tmp_path / "free"]):
        code, _, err = call(monkeypatch, capsys, *words, "--trust", "--out", tmp_path / "s.png")
        assert code == 2 and ("no pictures as condition" in err or "no conditions" in err) and err.strip().count("\n") == 0
    code, _, err = call(monkeypatch, capsys, "train", "digits", "conditions=[image]", "--out", tmp_path / "run")
    assert code == 2 and "data: pairs" in err and not (tmp_path / "run").exists()


def test_one_mask_for_a_folder_of_pictures_and_what_is_transparent_is_no_hole(filling, tmp_path):
    for name in "ab":
        save(tmp_path / "pictures" / f"{name}.png", np.full((8, 8), 90))
    strokes = np.zeros((8, 8, 4))
    strokes[2:4] = 255  # white on nothing
    value = images_of(load(filling, trust=True), tmp_path / "pictures", save(tmp_path / "mask.png", strokes), 4)["image"]
    assert value.shape == (4, 2, 8, 8) and (value[:, 1, 2:4] == 0).all() and value[:, 1].sum() == 4 * 6 * 8


def test_a_start_is_read_as_the_runs_pictures_are(tmp_path, monkeypatch, capsys):
    config = told("grey", "tests.parts:blobs") | {"data": {"name": "tests.parts:blobs"}}
    train(config, tmp_path / "run", quiet=True)
    clear = save(tmp_path / "clear.png", np.zeros((8, 8, 4)))
    asked = ("sample", tmp_path / "run", "-n", 1, "--init", clear, "--strength", 0.01, "--sampler", "ddim", "--steps", 200, "--trust")
    assert call(monkeypatch, capsys, *asked, "--out", tmp_path / "s.npz")[0] == 0
    assert np.load(tmp_path / "s.npz")["arr_0"].mean() > 200, "laid on white, as data is where it says nothing else"
    (tmp_path / "broken.png").write_bytes(clear.read_bytes()[:40])
    code, _, err = call(monkeypatch, capsys, "edit", "sdedit", tmp_path / "run", "--image", tmp_path / "broken.png", "--trust")
    assert code == 1 and err.count("\n") == 1 and "broken.png" in err


def test_a_folder_of_earlier_samples_is_left_alone(paired, tmp_path, monkeypatch, capsys):
    words = ("sample", paired, "-n", 2, "--trust", "--out", f"{tmp_path}/many/")
    assert call(monkeypatch, capsys, *words)[0] == 0
    code, _, err = call(monkeypatch, capsys, *words)
    assert code == 1 and "nothing is overwritten" in err and len(list((tmp_path / "many").iterdir())) == 2
