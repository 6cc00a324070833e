"""Shapes in space: their views show what they are, and the files that are written hold them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from typer.testing import CliRunner

from fromnoise.cli.main import app
from fromnoise.config import Recipe
from fromnoise.data import DATASETS
from fromnoise.data.files.surface import surface
from fromnoise.errors import Problem, Usage
from fromnoise.figures import check, endings, reconstructions, tiles, write_samples
from fromnoise.figures.space import GROUND, HALF, VIEW
from fromnoise.runs import Run
from tests.parts import built


def ball(radius: float, side: int = 24, at: tuple[float, float, float] = (0, 0, 0)) -> torch.Tensor:
    """Above 0 inside: the radius less the distance to the middle, (1, 1, S, S, S)."""
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    apart = [axis[:, None, None] - at[0], axis[:, None] - at[1], axis - at[2]]
    return (radius - sum(a**2 for a in apart).sqrt())[None, None].clamp(-1, 1)


def seen(x: torch.Tensor) -> np.ndarray:
    """Where the view of a shape is not the ground."""
    return (np.abs(np.asarray(tiles(x)[0], float) - GROUND.numpy()) > 2).any(-1)


def test_a_ball_is_seen_as_a_disc_lit_from_one_side():
    shown = seen(ball(0.7))
    assert shown.shape == (VIEW, VIEW)
    assert shown.sum() / VIEW**2 == pytest.approx(math.pi * 0.7**2 / (2 * HALF) ** 2, rel=0.03)
    grey = np.asarray(tiles(ball(0.7))[0].convert("L"), float)
    across = [grey[shown & half].mean() for half in (np.indices(shown.shape)[1] < VIEW / 2, np.indices(shown.shape)[1] > VIEW / 2)]
    assert across[0] > across[1] + 15  # the light comes from the left


@pytest.mark.parametrize(("moved", "axis", "sign"), [((0, 0, 0.5), 0, -1), ((0.5, 0, 0), 1, 1), ((0, -0.5, 0), 0, 1)])
def test_up_is_up_and_right_is_right_for_volumes_and_clouds(moved, axis, sign):
    """The third axis is up; the first goes to the right; what is nearer, to -y, stands lower, since it is seen from above."""
    cloud = 0.2 * torch.randn(1, 3, 400).clamp(-1, 1) + torch.tensor(moved)[:, None]
    for x in (ball(0.3, at=moved), cloud):
        assert sign * (np.argwhere(seen(x)).mean(0)[axis] - VIEW / 2) > 5


def test_nothing_is_ground_and_noise_is_drawn():
    assert not seen(-torch.ones(1, 1, 8, 8, 8)).any()
    assert not seen(torch.full((1, 1, 8, 8, 8), torch.nan)).any() and not seen(torch.full((1, 3, 9), torch.nan)).any()
    assert seen(torch.randn(1, 1, 8, 6, 5)).any() and len(tiles(torch.randn(3, 3, 50))) == 3
    picture = torch.zeros(1, 1, VIEW, VIEW)
    assert (
        reconstructions(ball(0.5), ball(0.4), 1).height < reconstructions(picture, picture + 1, 1).height
    )  # which has a row of differences


@pytest.mark.parametrize("ending", [".obj", ".glb", ".stl", ".ply"])
def test_meshes_that_are_written_are_read_again_as_they_were(tmp_path, ending):
    """By `meshes`, in which they stand upright again; several side by side on one plane."""
    x = torch.cat([ball(0.5, at=(0, 0, -0.4)), ball(0.8), -torch.ones(1, 1, 24, 24, 24), ball(0.6)])
    whole = trimesh.load(write_samples(x, tmp_path / f"all{ending}", {}), force="mesh")
    assert whole.is_watertight and whole.body_count == 3
    assert whole.volume == pytest.approx(4 / 3 * math.pi * (0.5**3 + 0.8**3 + 0.6**3), rel=0.05)
    up = 1 if ending in (".obj", ".glb") else 2
    assert whole.extents[up] == pytest.approx(0.8 + 0.9, abs=0.1) and min(whole.extents) == whole.extents[up]
    tall = ball(0.5) + 0
    tall[:, :, :, :, 12:] = ball(0.2)[:, :, :, :, 12:]  # narrow above
    write_samples(tall, tmp_path / "one" / f"it{ending}", {})
    back = DATASETS["meshes"](str(tmp_path / "one"), held_out=0, side=24).get(torch.tensor([0]))["x"][0, 0] > 0
    assert back[:, :, -1].sum() < back[:, :, 8].sum() / 3


def test_empty_samples_are_named(tmp_path, capsys):
    x = torch.cat([ball(0.5), -torch.ones(1, 1, 24, 24, 24)])
    write_samples(x, tmp_path / "x.obj", {})
    assert "1 of 2 samples are empty" in capsys.readouterr().err
    with pytest.raises(Problem, match="samples are empty .*--seed"):
        write_samples(x[1:], tmp_path / "y.obj", {})
    assert [p.name for p in tmp_path.iterdir()] == ["x.obj"]


def test_clouds_and_single_files(tmp_path):
    clouds = torch.rand(3, 3, 20)
    points = trimesh.load(write_samples(clouds[:1], tmp_path / "x.ply", {})).vertices
    assert np.allclose(points, clouds[0].T, atol=1e-6)
    write_samples(clouds, tmp_path / "all", {"label": torch.tensor([2, 0, 1])})
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == ["000000_2.ply", "000001_0.ply", "000002_1.ply"]
    write_samples(ball(0.5).expand(2, -1, -1, -1, -1), tmp_path / "meshes", {})
    assert sorted(p.name for p in (tmp_path / "meshes").iterdir()) == ["000000.obj", "000001.obj"]


def test_what_has_no_surface_is_not_written_as_one():
    solid = {*endings((1, 8, 8, 8))}
    assert not any(solid & {*endings(shape)} for shape in ((3, 8, 8), (2,), (2, 9), (3, 4, 8, 8), ())) and endings((3, 9)) == (".ply",)
    assert not any(endings(shape) for shape in ((3, 8, 8), (2,), ())) and ".ply" in solid and ".csv" in endings((2, 9)) and ".gif" in endings((3, 4, 8, 8))
    with pytest.raises(Usage, match="no kind of picture; end it in .png, .webp or .jpg"):
        check(Path("x.obj"), "", *endings((3, 8, 8)))
    with pytest.raises(Usage, match=r"cannot write x.obj.*\.ply"):
        check(Path("x.obj"), "", *endings((3, 9)))
    assert surface(torch.zeros(3, 3, 3)) is None


def test_the_command_writes_what_a_run_samples(tmp_path):
    """Under the endings that its examples have, and under no others."""
    recipe = Recipe.of({"network": {"name": "mlp", "width": 8, "depth": 1}, "sample": {"name": "ddim", "steps": 1}})
    for name, shape in (("volumes", (1, 4, 4, 4)), ("clouds", (3, 9))):
        Run(tmp_path / name).path.mkdir()
        Run(tmp_path / name).write_recipe(replace(recipe.with_defaults(), shape=shape))
        Run(tmp_path / name).save_weights(built(recipe, shape), 0)

    def said(run: str, out: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["sample", str(tmp_path / run), "-n", "2", "--out", str(tmp_path / out)])
        return found.exit_code, str(found.exception or found.output)

    for run, out, kind in (("volumes", "v.glb", trimesh.Trimesh), ("clouds", "c.ply", trimesh.PointCloud)):
        code, words = said(run, out)
        assert code == 0 and "2 samples" in words, words
        loaded = trimesh.load(tmp_path / out)
        assert isinstance(loaded.to_geometry() if isinstance(loaded, trimesh.Scene) else loaded, kind)
    code, words = said("clouds", "c.obj")
    assert code and "end it in .png" in words and not (tmp_path / "c.obj").exists()
