"""Clips on the command line: going on from a file."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fromnoise.training.loop import train
from tests.cli.test_cli import call


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A model of clips of four frames, hardly trained."""
    own = {"steps": 2, "batch": 4, "evals": 0}
    recipe = {"data": {"name": "tests.parts:stand_in", "like": "moving_digits"}, "network": {"name": "unet", "width": 8, "levels": [1], "temporal": True}}
    return train(recipe | {"train": own}, tmp_path_factory.mktemp("runs") / "clips", quiet=True).path


@pytest.fixture
def film(tmp_path) -> Path:
    """Six frames of the model's size, each another grey."""
    shown = [Image.fromarray(np.full((8, 8), 40 * i, np.uint8)) for i in range(6)]
    shown[0].save(tmp_path / "film.gif", save_all=True, append_images=shown[1:], duration=125)
    return tmp_path / "film.gif"


def extend(monkeypatch, capsys, *words):
    return call(monkeypatch, capsys, "edit", "extend", *words, "--steps", 2, "--trust")


def test_a_file_goes_on_and_its_own_frames_stay(run, film, tmp_path, monkeypatch, capsys):
    assert extend(monkeypatch, capsys, run, "--clip", film, "-n", 2, "-o", tmp_path / "on.npz")[0] == 0
    found = np.load(tmp_path / "on.npz")["arr_0"]
    assert found.shape == (2, 8, 8, 8, 1)  # half a window of 4 more than 6
    assert (found[:, :6, 0, 0, 0] == 40 * np.arange(6)).all()
    assert extend(monkeypatch, capsys, run, "--clip", film, "--given", 2, "-n", 1, "-o", tmp_path / "on.gif")[0] == 0
    with Image.open(tmp_path / "on.gif") as opened:
        assert opened.n_frames == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--clip", "nowhere.gif"], "nowhere.gif"),
        (["--clip", "FILM", "--given", 7], "--given is 1 to 6 of the clip's 6 frames, fewer than --frames (9), not 7"),
        (["--clip", "FILM", "--clip", "FILM"], "name one clip"),
        (["--clip", "FILM", "--frames", 6], "fewer than --frames (6), not 6"),
        (["--example", 99], "no held-out example 99"),
    ],
)
def test_what_cannot_go_on_is_one_line(run, film, tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    code, _, err = extend(monkeypatch, capsys, run, *[film if word == "FILM" else word for word in words])
    assert code == 2 or code == 1, err
    assert says in err and err.strip().count("\n") == 0 and "Traceback" not in err


def measure(monkeypatch, capsys, *words):
    return call(monkeypatch, capsys, "evaluate", *words, "--steps", 2, "--trust")


@pytest.mark.slow
def test_how_clips_go_on_is_measured_window_by_window(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path))
    monkeypatch.setattr("fromnoise.evaluation.features.timing.STEPS", 20)
    monkeypatch.setattr("fromnoise.evaluation.features.cnn.EPOCHS", (1, 1))
    code, out, _ = measure(monkeypatch, capsys, run, "--extend", 10, "--given", 2, "-n", 12, "--quick")
    assert code == 0 and "12 clips of 10 frames" in out and "flicker" in out
    found = json.loads((run / "quick_extension.json").read_text())
    assert [window["last_frame"] for window in found["windows"]] == [4, 8, 10] and found["given"] == 2 and found["n"] == 12


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--given", 2], "--given would do nothing"),
        (["--extend", 3], "--extend is 4 frames or more"),
        (["--extend", 8, "--given", 4], "--given fewer than that, not 8 and 4"),
        (["--extend", 8, "--pairs"], "ask one at a time"),
        (["--extend", 1], "--extend"),
    ],
)
def test_what_cannot_be_measured_is_one_line(run, monkeypatch, capsys, words, says):
    code, _, err = measure(monkeypatch, capsys, run, *words)
    assert code == 2 and says in err and "Traceback" not in err
