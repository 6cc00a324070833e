"""Signals as curves and as tables, in their own units."""

import csv

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from fromnoise.cli.main import app
from fromnoise.config import Recipe
from fromnoise.data import DATASETS
from fromnoise.data.units import Units
from fromnoise.figures import save, tiles
from fromnoise.figures.figure import COLOURS
from fromnoise.model import load
from fromnoise.runs import Run

UNITS = Units(("temp", "wind"), (15.0, -3.0), (2.0, 0.5))
RECIPE = Recipe(medium="signals", units=UNITS.as_dict())


def cells(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_tables_and_arrays_are_in_own_units_with_the_names_of_channels(tmp_path):
    x = torch.randn(3, 2, 5)
    own = UNITS.undone(x).numpy()
    head, *rows = cells(save(x, tmp_path / "all.csv", recipe=RECIPE))
    assert head == ["signal", "temp", "wind"] and [row[0] for row in rows] == [str(i) for i in range(3) for _ in range(5)]
    assert np.allclose(np.array(rows, float)[:, 1:].reshape(3, 5, 2).swapaxes(1, 2), own, rtol=1e-7)
    assert np.allclose(np.load(save(x, tmp_path / "x.npy", recipe=RECIPE)), own) and np.allclose(np.load(save(x, tmp_path / "x.npz", recipe=RECIPE))["arr_0"], own)
    folder = save(x, tmp_path / "folder", recipe=RECIPE)
    head, *rows = cells(folder / "000001.csv")
    assert head == ["temp", "wind"] and np.allclose(np.array(rows, float).T, own[1])
    again = DATASETS["signals"](str(folder), held_out=0)
    assert np.allclose(again.units.undone(again.get(torch.arange(3))["x"]), own, atol=1e-5), "and a run can learn from them"


def test_a_curve_goes_from_its_lowest_at_the_left_to_its_highest_at_the_right_whatever_its_units():
    rise = torch.linspace(-1, 1, 50).expand(2, 1, 50)
    colour = tuple(bytes.fromhex(COLOURS[0][1:]))
    for units in (None, Units(("a",), (1e5,), (1e-3,))):
        tile = np.asarray(tiles(rise, None, "signals", units)[0])
        rows, columns = np.nonzero((np.abs(tile.astype(int) - colour) < 40).all(2))
        assert np.corrcoef(rows, columns)[0, 1] < -0.97
    assert tiles(torch.rand(1, 3, 9), None, "signals")[0].height > 2 * tiles(torch.rand(1, 1, 9))[0].height
    assert len(tiles(torch.full((2, 1, 9), float("nan")))) == 2


@pytest.mark.slow
def test_the_ordinary_commands_take_a_folder_of_signals_from_inspection_to_tables_in_own_units(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw, time = np.random.default_rng(0), np.arange(300)
    for i in range(12):
        wave = 1000 + 50 * np.sin(2 * np.pi * (time / 25 + draw.random()))
        lines = [f"{t},{p:.4f},{v:.4f}" for t, p, v in zip(time, wave, draw.normal(3, 0.2, 300), strict=True)]
        (tmp_path / "lab").mkdir(exist_ok=True)
        (tmp_path / "lab" / f"{i}.csv").write_text("\n".join(["t,pressure,speed", *lines]))

    def run(*words):
        found = CliRunner().invoke(app, list(words))
        assert found.exit_code == 0, found.output
        return found.output

    said = " ".join(run("data", "inspect", "lab", "--minutes", "0.5", "--out", "lab.yaml").split())
    assert "which counts time" in said and "period 25.0 samples" in said and 'columns: ["pressure", "speed"]' in said
    run("train", "lab.yaml", "train.minutes=null", "train.images=64", "train.batch=8", "train.warmup=8", "network.width=8", "network.head=8", "--out", "run")
    recipe = Run(tmp_path / "run").recipe()
    assert recipe.medium == "signals" and recipe.units["names"] == ["pressure", "speed"] and recipe.units["offset"][0] == pytest.approx(1000, abs=3)
    model = load("run")
    monkeypatch.setattr(model, "decode", lambda z: 3 * torch.ones_like(z))
    assert model.sample(1, steps=1).eq(3).all(), "what is not in [-1, 1] is not held there"
    run("sample", "run", "-n", "3", "--steps", "2", "--out", "x.csv")
    head, *rows = cells(tmp_path / "x.csv")
    assert head == ["signal", "pressure", "speed"] and 500 < np.array(rows, float)[:, 1].mean() < 1500
    assert "spectrum distance, dB, speed" in run("evaluate", "run", "-n", "8", "--steps", "2")
    assert "final.png" in (tmp_path / "run" / "report.html").read_text() or (tmp_path / "run" / "samples" / "final.png").is_file()
