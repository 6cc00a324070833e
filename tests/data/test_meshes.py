"""Shapes in space: voxels of solids whose volume is known, points on their surface, and what is said of bad files."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from fromnoise.data import DATASETS
from fromnoise.data.files.surface import read, surface, voxels
from fromnoise.errors import Problem, Usage


def meshes(path, **settings):
    return DATASETS["meshes"](str(path), **{"held_out": 0, **settings})


def ball(side: int = 24, radius: float = 0.8) -> np.ndarray:
    axis = (np.arange(side) + 0.5) / side * 2 - 1
    return (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) < radius**2


@pytest.fixture
def folder(tmp_path):
    """Two classes; a cone stands upright in both customs."""
    for name in ("ball", "cone"):
        (tmp_path / name).mkdir()
    trimesh.creation.icosphere(3, radius=7).export(tmp_path / "ball" / "one.stl")
    cone = trimesh.creation.cone(radius=1, height=2)
    cone.export(tmp_path / "cone" / "z_up.off")
    cone.apply_transform([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    cone.export(tmp_path / "cone" / "y_up.glb")
    return tmp_path


def test_a_folder_of_meshes_is_filled_volumes_in_classes(folder):
    data = meshes(folder, side=48)
    assert data.classes == ("ball", "cone") and data.shape == (1, 48, 48, 48) and data.left_out == ()
    x, label = (data.get(torch.arange(3))[key] for key in ("x", "label"))
    assert label.tolist() == [0, 1, 1] and x.unique().tolist() == [-1, 1]
    share = (x > 0).flatten(1).double().mean(1)  # of the cube of volume 8; what is touched counts, so a little more
    assert share[0] == pytest.approx(math.pi / 6, rel=0.1) and share[0] > math.pi / 6
    assert share[1] == pytest.approx(math.pi / 3 * 2 / 8, rel=0.15)
    assert (x[1] != x[2]).float().mean() < 0.003  # whichever axis is up in the file, but for what lies between two voxels
    by_height = (x[1, 0] > 0).sum((0, 1))
    assert (by_height.diff() <= 0).all() and by_height[0] > 30 * by_height[-1]  # it stands on its base


def test_splits_may_lie_in_the_class_folders(folder):
    """As ModelNet's do."""
    for name in ("ball/one.stl", "cone/y_up.glb", "cone/z_up.off"):
        to = folder / Path(name).parent / ("test" if "y_up" in name else "train") / Path(name).name
        to.parent.mkdir(exist_ok=True)
        (folder / name).rename(to)
    train, test = (meshes(folder, side=8, split=split) for split in ("train", "test"))
    assert (train.labels(torch.arange(2)).tolist(), test.labels(torch.arange(1)).tolist()) == ([0, 1], [1])
    assert (len(train), len(test), train.classes, train.left_out) == (2, 1, ("ball", "cone"), ())


def test_points_lie_on_the_surface_and_are_the_same_every_time(folder):
    data, again = meshes(folder, points=500, classes=["ball"]), meshes(folder, points=500)
    (x,), label = data.get(torch.arange(1))["x"], data.labels(torch.arange(1))
    assert data.shape == (3, 500) and data.classes == ("ball",) and label.tolist() == [0]
    assert data.left_out == ("2 shapes of other classes (cone)",)
    assert torch.allclose(x.norm(dim=0), torch.ones(500), atol=0.02) and x.mean(1).abs().max() < 0.1
    assert torch.equal(x, again.get(torch.arange(1))["x"][0])


def test_quarter_turns_of_volumes_and_points_are_the_same_turns(tmp_path):
    solid = np.zeros((2, 8, 8, 8), bool)
    solid[:, 2:7, 1:3, 0:4] = solid[:, 2:4, 1:7, 0:4] = True
    np.savez(tmp_path / "it.npz", solid=np.packbits(solid.reshape(2, -1), axis=1))
    volumes, clouds = meshes(tmp_path / "it.npz", side=8, turns=True), meshes(tmp_path / "it.npz", side=8, turns=True, points=2000)
    assert len(volumes) == len(clouds) == 8
    for row in range(0, 8, 2):
        volume, cloud = (data.get(torch.tensor([row]))["x"][0] for data in (volumes, clouds))
        centre = torch.stack(torch.nonzero(volume[0] > 0).float().unbind(1)).mean(1)
        assert torch.equal(torch.sign((centre - 3.5)[:2].round(decimals=1)), torch.sign(cloud.mean(1)[:2].mul(4).round(decimals=1)))
    first, *_, last = (volumes.get(torch.tensor([row]))["x"][0] for row in (0, 2, 4, 6))
    assert torch.equal(torch.rot90(last, 1, (1, 2)), first) and not torch.equal(first, last)
    assert len(meshes(tmp_path / "it.npz", side=8, turns=True, held_out=0.5, split="test")) <= 2  # in training alone


def test_grids_are_arrays_of_classes_and_splits(tmp_path):
    shell = ball() & ~ball(radius=0.5)
    packed, whole, empty = np.packbits(shell.reshape(1, -1), axis=1), shell[None], np.zeros((2, 24, 24, 24), bool)
    np.savez(tmp_path / "a.npz", ball_train=packed, ball_test=whole, cup_train=empty | shell, other=whole)
    train, test = (meshes(tmp_path / "a.npz", side=24, split=split) for split in ("train", "test"))
    assert (len(train), len(test), train.classes) == (3, 1, ("ball", "cup"))
    assert train.left_out == ("1 arrays that name no split (other)",)
    assert np.array_equal(train.get(torch.tensor([0]))["x"][0, 0] > 0, ball())  # what a shell encloses is inside
    half = meshes(tmp_path / "a.npz", side=12).get(torch.tensor([0]))["x"][0, 0] > 0
    assert np.array_equal(half, ball().reshape(12, 2, 12, 2, 12, 2).any((1, 3, 5)))
    np.savez(tmp_path / "b.npz", cup=np.concatenate([whole, empty]))
    assert meshes(tmp_path / "b.npz", side=24).left_out == ("2 grids that are empty (cup/1, cup/2)",)


def test_marching_cubes_gives_the_mesh_back(folder):
    x = torch.from_numpy(ball(40)) * 2.0 - 1
    mesh = surface(x)
    assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * math.pi * 0.8**3, rel=0.03)
    assert np.allclose(mesh.bounds, [[-0.8] * 3, [0.8] * 3], atol=0.05)
    assert surface(-torch.ones(4, 4, 4)) is None and surface(torch.ones(4, 4, 4)).is_watertight
    stretched = surface(torch.ones(4, 8, 2))
    assert np.allclose(stretched.extents, [1, 2, 0.5], atol=0.3)
    assert voxels(read(folder / "ball" / "one.stl", "z"), 8).shape == (8, 8, 8)


def test_bad_files_are_named_with_the_cure(tmp_path):
    with pytest.raises(Problem, match="no meshes in .*, only a.txt and the like; obj, glb"):
        (tmp_path / "a.txt").write_text("")
        meshes(tmp_path)
    trimesh.creation.box().export(tmp_path / "box.ply")
    (tmp_path / "cut.glb").write_bytes(b"glTF")
    (tmp_path / "dots.ply").write_bytes(trimesh.PointCloud(np.random.rand(9, 3)).export(file_type="ply"))
    (tmp_path / "none.obj").write_text("v 0 0 0\n")
    with pytest.raises(Problem, match="3 of 4 meshes cannot be read .*dots.ply: it has no faces.*data.skip_broken=true"):
        meshes(tmp_path)
    data = meshes(tmp_path, side=8, skip_broken=True)
    assert len(data) == 1 and data.left_out[-1].startswith("3 meshes cannot be read and are skipped (cut.glb: it is cut short")
    (tmp_path / "open.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n")
    assert any("1 meshes that are not closed" in line and "open.obj" in line for line in meshes(tmp_path, skip_broken=True).left_out)
    assert not any("not closed" in line for line in meshes(tmp_path, skip_broken=True, points=8).left_out)


def test_what_is_not_installed_is_named_with_the_cure(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(Problem, match=r'pip install "fromnoise\[mesh\]"'):
        meshes(folder)


@pytest.mark.parametrize(
    ("arrays", "settings", "says"),
    [
        (None, {}, "no such file; set data.path"),
        ({"a": np.zeros((2, 3))}, {}, "a is float64 .*np.packbits"),
        ({"a": np.ones((2, 64), np.uint8), "b": np.ones((2, 8), np.uint8)}, {}, "different sides"),
        ({"a": np.ones((2, 64), np.uint8)}, {"side": 5}, "grids of side 8, which does not divide into 5"),
        ({"a": np.zeros((2, 64), np.uint8)}, {"side": 8}, "all 2 grids .* are empty"),
        ({"a": np.ones((2, 64), np.uint8)}, {"classes": ["chiar"]}, "no class 'chiar'.*one of: a"),
        ({"a": np.ones((2, 64), np.uint8)}, {"classes": "a"}, "names in brackets"),
        ({"a": np.ones((2, 64), np.uint8)}, {"up": "y"}, "leave it out"),
        ({"a_train": np.ones((2, 64), np.uint8)}, {"split": "test"}, "no array that ends in test"),
    ],
)
def test_bad_grids_are_named_with_the_cure(tmp_path, arrays, settings, says):
    if arrays:
        np.savez(tmp_path / "it.npz", **arrays)
    with pytest.raises((Problem, Usage), match=says):
        meshes(tmp_path / "it.npz", **settings)
