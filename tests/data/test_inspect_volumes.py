"""What an inspection says of volumes, and that what it proposes is what `volumes` takes."""

import nibabel
import numpy as np
import pytest
import yaml

from fromnoise.data import DATASETS
from fromnoise.data.files.meshes import MESHES
from fromnoise.data.files.scans import VOLUMES
from fromnoise.data.files.series import SIGNALS
from fromnoise.data.files.walk import PICTURES
from fromnoise.data.inspect.report import INSPECTORS, inspector_of, report
from fromnoise.data.inspect.volumes import inspect, proposals
from fromnoise.errors import Problem


def volume(seed=0, shape=(16, 16, 16)):
    return np.random.default_rng(seed).normal(0, 100, shape)


@pytest.fixture
def folder(tmp_path):
    for i in range(8):
        home = tmp_path / "ct" / "ab"[i % 2]
        home.mkdir(parents=True, exist_ok=True)
        shape = (40, 32, 48) if i == 7 else (32, 32, 32)
        nibabel.save(nibabel.Nifti1Image(volume(min(i, 5), shape).astype(np.int16), np.diag([1 + i % 2, 2, 3, 1])), home / f"{i}.nii.gz")
    x = volume()
    x[0, 0, 0] = np.nan
    np.save(tmp_path / "ct/a/bad.npy", x)
    return tmp_path / "ct"


def test_counts_sizes_spacings_values_and_what_is_broken_are_said(folder):
    found = inspect(folder)
    rows = dict(found.rows())
    assert rows["volumes"] == "8" and rows["size"] == "32 x 32 x 32 (7), 48 x 32 x 40 (1)" and rows["spacing"] == "3 x 2 x 1 to 2 mm"
    assert rows["labels"] == "2 classes: a 4, b 4" and rows["broken"] == "1" and rows["duplicates"] == "1"
    assert found.window == pytest.approx((-258, 258), abs=8), "2.576 deviations hold 99 % of a normal law"
    assert any("1 voxels are NaN or infinite" in line for line in found.warnings())
    np.save(folder / "a/c.npy", volume()), np.save(folder / "b/d.npy", volume())
    assert dict(inspect(folder).rows())["duplicates"] == "2" and "(8 of 10 say it)" in dict(inspect(folder).rows())["spacing"]


def test_the_recipe_is_the_largest_that_sees_enough_and_its_data_can_be_read(folder):
    seen = []

    def speed(recipe, shape, classes):
        seen.append((shape, classes, recipe["network"]["width"], recipe["network"]["patch"]))
        return 100.0 / len(seen)

    (text,) = report(folder, 10, speed).values()
    recipe = yaml.safe_load(text)
    assert seen == [((1, 16, 16, 16), 2, 32, 2), ((1, 32, 32, 32), 2, 32, 4), ((1, 32, 32, 32), 2, 64, 4), ((1, 32, 32, 32), 2, 64, 2)]
    assert recipe["data"]["size"] == 32 and recipe["data"]["skip_broken"] and recipe["network"]["width"] == 64 and recipe["network"]["patch"] == 4
    assert recipe["data"]["window"] == pytest.approx([-258, 258], abs=8) and "data.spacing=MM" in text
    data = DATASETS[recipe["data"].pop("name")](**recipe["data"])
    assert data.shape == (1, 32, 32, 32) and data.classes == ("a", "b")
    slow = yaml.safe_load(proposals(inspect(folder), 1, lambda *_: 0.1, "slow")["slow"])
    assert slow["data"]["size"] == 16 and slow["network"]["width"] == 32


def test_arrays_are_told_apart_by_their_axes(tmp_path):
    kinds = {
        "v.npy": (VOLUMES, volume()), "nv.npy": (VOLUMES, volume(shape=(3, 16, 16, 16))), "s.npy": (SIGNALS, volume(shape=(9, 2, 500))),
        "l.npy": (SIGNALS, volume(shape=(99,))),
    }  # fmt: skip
    for name, (kind, x) in kinds.items():
        np.save(tmp_path / name, x)
        assert inspector_of(tmp_path / name) is INSPECTORS[kind], name
    archives = {
        "v.npz": (VOLUMES, {"x": volume()}), "arr.npz": (VOLUMES, {"arr_0": volume(shape=(3, 1, 16, 16, 16))}),
        "p.npz": (PICTURES, {"arr_0": np.zeros((9, 16, 16, 3), np.uint8)}), "s.npz": (SIGNALS, {"x": volume(shape=(9, 1, 64))}),
        "g.npz": (MESHES, {"chair": np.zeros((9, 16, 16, 16), np.uint8)}),
    }  # fmt: skip
    for name, (kind, arrays) in archives.items():
        np.savez(tmp_path / name, **arrays)
        assert inspector_of(tmp_path / name) is INSPECTORS[kind], name
    for kind, names in ((VOLUMES, ("v.npy",)), (SIGNALS, ("s.npy", "l.npy"))):
        home = tmp_path / kind.words
        home.mkdir()
        for name in names:
            (tmp_path / name).rename(home / name)
        assert inspector_of(home) is INSPECTORS[kind]
    assert inspect(tmp_path / "arr.npz").count == 3


def test_what_cannot_be_inspected_is_one_line(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"nothing")
    with pytest.raises(Problem, match="none of the 1 volumes in .* can be read"):
        inspect(tmp_path)
    np.save(tmp_path / "b.npy", volume()), np.save(tmp_path / "c.npy", volume()), np.save(tmp_path / "d.npy", volume(shape=(2, 16, 16, 16)))
    with pytest.raises(Problem, match=r"1 of 3 volumes have other channels than the 1 of the rest \(d.npy: 2\)"):
        inspect(tmp_path)
    for name in ("nowhere.csv", "nowhere"):
        with pytest.raises(Problem, match="no such file or folder; name the one"):
            inspector_of(tmp_path / name)
