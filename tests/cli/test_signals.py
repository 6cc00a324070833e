"""Signals on the command line: channels that are made of others, in the units of the files."""

import csv

import numpy as np
import pytest

from fromnoise.training.loop import train
from tests.cli.test_cli import call


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model that is told channel a and makes b, hardly trained; b lies about 100."""
    home = tmp_path_factory.mktemp("paired")
    for i in range(8):
        rows = np.random.default_rng(i).normal(size=(64, 2)) * [1, 20] + [0, 100]
        np.savetxt(home / f"{i}.csv", rows, delimiter=",", header="a,b", comments="", fmt="%.6f")
    recipe = {"data": {"name": "signals", "path": str(home), "length": 16, "given": ["a"]}, "conditions": [{"name": "image"}]}
    recipe |= {"network": {"name": "unet", "width": 8, "levels": [1]}, "train": {"steps": 2, "batch": 4, "evals": 0, "held_out": 4}}
    return home, train(recipe, home / "run", quiet=True).path


def sample(monkeypatch, capsys, *words):
    return call(monkeypatch, capsys, "sample", *words, "--steps", 2)


def test_a_file_is_what_others_are_made_of(run, tmp_path, monkeypatch, capsys):
    home, path = run
    assert sample(monkeypatch, capsys, path, "--image", home / "0.csv", "-n", 4, "-o", tmp_path / "b.csv")[0] == 0
    rows = list(csv.DictReader(open(tmp_path / "b.csv")))
    assert [*rows[0]] == ["signal", "b"] and len(rows) == 4 * 16 and {row["signal"] for row in rows} == set("0123")
    with open(tmp_path / "other.csv", "w") as file:  # in another order, with more
        file.write("c,a\n" + "".join(f"0,{value}\n" for value in np.loadtxt(home / "0.csv", delimiter=",", skiprows=1)[:, 0]))
    assert sample(monkeypatch, capsys, path, "--image", tmp_path / "other.csv", "-n", 4, "-o", tmp_path / "b2.csv")[0] == 0
    assert (tmp_path / "b2.csv").read_text() == (tmp_path / "b.csv").read_text(), "channel a alone counts"


@pytest.mark.parametrize(
    ("text", "says"), [("a\n" + "1\n" * 15, "has 1 channels of 15 samples"), ("z\n1\n2\n", "no column 'a'"), ("", "it is empty"), (None, "No such file")]
)
def test_what_cannot_be_given_is_one_line(run, tmp_path, monkeypatch, capsys, text, says):
    if text is not None:
        (tmp_path / "x.csv").write_text(text)
    code, _, err = sample(monkeypatch, capsys, run[1], "--image", tmp_path / "x.csv", "-o", tmp_path / "b.csv")
    assert code in (1, 2) and says in err and "Traceback" not in err and err.strip().count("\n") == 0
