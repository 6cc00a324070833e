"""Scans as slices and as files, in their own units and where they lie in space; and a folder of them through the ordinary commands."""

import sys

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fromnoise.cli.main import app
from fromnoise.config import Recipe
from fromnoise.data import DATASETS
from fromnoise.data.units import Units
from fromnoise.errors import Problem, Usage
from fromnoise.figures import save, tiles
from fromnoise.figures.picture import check
from fromnoise.files import ending, replacing, sweep
from fromnoise.model import load
from fromnoise.runs import Run

UNITS = Units(("0",), (50.0,), (200.0,), True, (3.0, 2.0, 1.5))
RECIPE = Recipe(medium="scans", units=UNITS.as_dict())


def test_the_three_tiles_are_the_middle_slices_with_the_head_above():
    x = torch.full((2, 1, 4, 6, 8), -1.0)
    x[0, 0, 3, 3, 1], x[0, 0, 2, 0, 7], x[0, 0, 0, 5, 4] = 1.0, 0.0, 0.5  # on the coronal, the axial and the sagittal slice
    tile, other = (np.asarray(made) for made in tiles(x, 1, "scans"))
    assert tile.shape == (6, 8 + 2 + 8 + 2 + 6) and not other.any()
    axial, coronal, sagittal = tile[:, :8], tile[1:5, 10:18], tile[1:5, 20:]
    assert np.argwhere(axial).tolist() == [[0, 7]] and axial[0, 7] == 128
    assert np.argwhere(coronal).tolist() == [[0, 1]] and coronal[0, 1] == 255
    assert np.argwhere(sagittal).tolist() == [[3, 5]] and sagittal[3, 5] == 191
    wide = tiles(x, 2, "scans", UNITS)[0]  # 3, 2 and 1.5 mm: voxels are 4, 3 and 2 pixels, or nearest to it
    assert wide.size == (2 * 16 + 16 + 4, 16) and wide.mode == "L"
    assert tiles(x.repeat(1, 2, 1, 1, 1), 1, "scans")[0].size == (26, 2 * 6 + 2)


@pytest.mark.parametrize("end", [".nii.gz", ".nii"])
def test_a_written_file_lies_in_space_as_the_volume_does_and_is_read_as_it_was(tmp_path, end):
    x = torch.rand(1, 1, 4, 6, 8) * 2 - 1
    image = nibabel.load(save(x, tmp_path / f"one{end}", recipe=RECIPE))
    assert image.shape == (8, 6, 4) and nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == pytest.approx((1.5, 2, 3)) and image.header.get_xyzt_units()[0] == "mm"
    assert np.allclose(image.affine @ [3.5, 2.5, 1.5, 1], [0, 0, 0, 1]), "the middle is the origin"
    again = DATASETS["volumes"](str(tmp_path / f"one{end}"), held_out=0, window=[-150, 250])
    assert again.units.spacing == pytest.approx((3, 2, 1.5)) and torch.allclose(again.get(torch.arange(1))["x"], x, atol=1e-5)
    several = nibabel.load(save(x.repeat(3, 2, 1, 1, 1), tmp_path / f"several{end}", recipe=Recipe(medium="scans")))
    assert several.shape == (8, 6, 4, 3, 2) and several.header.get_zooms()[:3] == (1, 1, 1)
    assert [file.name for file in sorted(tmp_path.iterdir())] == [f"one{end}", f"several{end}"]


def test_arrays_are_in_own_units_and_a_folder_can_be_learnt_from(tmp_path):
    x = torch.rand(3, 1, 4, 6, 8) * 2 - 1
    own = UNITS.undone(x).numpy()
    assert np.allclose(np.load(save(x, tmp_path / "x.npy", recipe=RECIPE)), own)
    assert np.allclose(np.load(save(x, tmp_path / "x.npz", recipe=RECIPE))["arr_0"], own)
    for place in (save(x, tmp_path / "folder", recipe=RECIPE), tmp_path / "x.npz", tmp_path / "x.npy"):
        again = DATASETS["volumes"](str(place), held_out=0, window=[-150, 250])
        assert torch.allclose(again.get(torch.arange(3))["x"], x, atol=1e-5)


def test_endings_of_two_parts_and_what_cannot_be_written(tmp_path, monkeypatch):
    assert [ending(name) for name in ("a.nii.gz", "a.b.nii.gz", "a.png", "a", "a.gz", "v1.2/a")] == [".nii.gz", ".nii.gz", ".png", "", ".gz", ""]
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a.nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz")
        kept = tmp_path / temporary.name.replace("a.", "b.")
        kept.touch()
        raise KeyboardInterrupt
    sweep(tmp_path)
    assert not [*tmp_path.iterdir()], "what is half written is found by its name"
    with pytest.raises(Usage, match=r"cannot write a.nii.gz: '.nii.gz' is no kind of picture; end it in"):
        check(tmp_path / "a.nii.gz", ".npz")
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(Problem, match="NIfTI files need nibabel; run pip install 'fromnoise.medical.', or end --out in .npy or .npz"):
        check(tmp_path / "a.nii.gz", ".nii.gz")


@pytest.mark.slow
def test_the_ordinary_commands_take_a_folder_of_scans_from_inspection_to_nifti(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for i in range(12):
        (tmp_path / f"ct/{'ab'[i % 2]}").mkdir(parents=True, exist_ok=True)
        x = draw.normal(0, 20, (16, 16, 16)) + 900 * (i % 2)
        nibabel.save(nibabel.Nifti1Image(x.astype(np.int16), np.diag([2, 2, 3, 1])), tmp_path / f"ct/{'ab'[i % 2]}/{i}.nii.gz")

    def run(*words):
        found = CliRunner().invoke(app, list(words))
        assert found.exit_code == 0, found.output
        return found.output

    said = " ".join(run("data", "inspect", "ct", "--minutes", "0.5", "--out", "ct.yaml").split())
    assert "16 x 16 x 16 (12)" in said and "3 x 2 x 2 mm" in said and "2 classes: a 6, b 6" in said
    run("train", "ct.yaml", "train.minutes=null", "train.images=32", "train.batch=8", "train.warmup=8", "network.width=8", "--out", "run")
    recipe = Run(tmp_path / "run").recipe()
    assert recipe.medium == "scans" and recipe.units["spacing"] == [3, 2, 2] and recipe.units["offset"][0] == pytest.approx(450, abs=30)
    model = load("run")
    monkeypatch.setattr(model, "decode", lambda z: 3 * torch.ones_like(z))
    assert model.sample(1, steps=1).eq(1).all(), "what is beyond the window is held there"
    run("sample", "run", "-n", "3", "--steps", "2", "--out", "x.nii.gz"), run("sample", "run", "-n", "3", "--steps", "2", "--out", "x.png")
    image = nibabel.load(tmp_path / "x.nii.gz")
    assert image.shape == (16, 16, 16, 3) and image.header.get_zooms()[:3] == (2, 2, 3) and -100 < image.get_fdata().mean() < 1000
    assert Image.open(tmp_path / "x.png").width > 3 * 16
    card = run("evaluate", "run", "-n", "4", "--steps", "2")
    assert "intensity distance" in card and "nearest training volume" in card
