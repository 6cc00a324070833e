"""What a data set says its examples are decides how they are shown, written, kept, played and read."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fromnoise.cli.main import app
from fromnoise.config import Recipe
from fromnoise.data import DATASETS, Tensors
from fromnoise.errors import Usage
from fromnoise.figures import MEDIA, Medium, grid, medium_of, report, save, tiles
from fromnoise.files import replacing
from fromnoise.runs import Run
from fromnoise.training import train

RED = (200, 0, 0)
SMALL = {
    "network": {"name": "mlp", "width": 8, "depth": 1},
    "train": {"steps": 2, "batch": 4, "evals": 1},
    "sample": {"name": "ddim", "steps": 1},
}


def beeping(split: str = "train") -> Tensors:
    """Signals that are beeps."""
    made = Tensors("beeping", torch.linspace(-1, 1, 320).reshape(40, 1, 8))
    made.medium = "beeps"
    return made


def beep(x: torch.Tensor, path: Path, recipe: Recipe) -> None:
    with replacing(path) as temporary:
        temporary.write_text(f"{len(x)} of {recipe.medium}")


@pytest.fixture
def beeps(monkeypatch):
    """A medium of its own for signals of one channel."""
    made = Medium(
        lambda x, scale: [Image.new("RGB", (9, 9), RED) for _ in x],
        (".beep",), beep, False, ".beep",
        lambda file: f"<b>{file.read_text()}</b>", lambda x, recipe: [f"beep {i}" for i in range(len(x))],
    )  # fmt: skip
    monkeypatch.setitem(MEDIA, "beeps", made)
    return made


def test_a_shape_has_a_usual_medium_and_a_name_another():
    assert [medium_of(shape) for shape in ((2,), (1, 9), (3, 9), (3, 8, 8), (1, 4, 4, 4), (3, 4, 4, 4))] == [
        MEDIA[name] for name in ("points", "signals", "clouds", "pictures", "volumes", "videos")
    ]
    assert medium_of((3, 9), "signals") is MEDIA["signals"]
    with pytest.raises(Usage, match="no medium 'smells'"):
        medium_of((3, 9), "smells")
    three = torch.zeros(2, 3, 50)
    assert tiles(three, None, "signals")[0].size != tiles(three)[0].size


def test_a_run_keeps_the_medium_of_its_data_and_shows_writes_plays_and_prints_by_it(beeps, monkeypatch, tmp_path):
    monkeypatch.setitem(DATASETS, "beeping", beeping)
    run = train({"data": {"name": "beeping"}, **SMALL}, tmp_path / "run", quiet=True)
    assert Run(run.path).recipe().medium == "beeps"
    with Image.open(run.path / "samples" / "final.png") as final:
        assert RED in {colour for _, colour in final.convert("RGB").getcolors()}
    assert (run.path / "samples" / "final.beep").read_text() == "16 of beeps"
    assert "<b>16 of beeps</b>" in report(run.path).read_text()
    found = CliRunner().invoke(app, ["sample", str(run.path), "-n", "2", "--out", str(tmp_path / "all")])
    assert found.exit_code == 0 and "beep 0\nbeep 1\n" in found.output
    assert sorted(file.name for file in (tmp_path / "all").iterdir()) == ["000000.beep", "000001.beep"]
    assert CliRunner().invoke(app, ["sample", str(run.path), "-n", "2", "--out", str(tmp_path / "x.obj")]).exit_code


def test_a_grid_of_a_medium_is_of_its_tiles(beeps, tmp_path):
    x = torch.zeros(4, 1, 8)
    assert grid(x, 2, medium="beeps").size == (24, 24)
    with Image.open(save(x, tmp_path / "x.png")) as plain:
        assert plain.size == grid(x).size
