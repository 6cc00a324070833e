"""Volumes of a user's own: NIfTI in one orientation, arrays of every make, sizes and spacings, and windows that are measured, kept and undone."""

import sys

import nibabel
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fromnoise.data import DATASETS
from fromnoise.data.files.scans import placed, read, resampled, weights
from fromnoise.data.units import Units
from fromnoise.errors import Problem, Usage


def volumes(path, **settings):
    return DATASETS["volumes"](str(path), **{"held_out": 0, **settings})


def own(data):
    """In the units of the files."""
    return data.units.undone(data.get(torch.arange(len(data)))["x"]).numpy()


def block(*shape, seed=0):
    return np.random.default_rng(seed).normal(100, 30, shape or (8, 10, 12)).astype(np.float32)


def nifti(path, x, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(x, np.diag([1.5, 2.0, 3.0, 1.0]) if affine is None else affine), path)
    return path


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_a_voxel_at_a_known_place_in_the_world_ends_where_that_place_is_however_the_file_lies(tmp_path, axes, signs):
    """RAS+ millimetres (x, y, z) are to lie at (D, H, W) = (z, -y, -x): D towards the head, H to the back, W to the left."""
    apart, sides = np.array([1.5, 2.0, 3.0]), (8, 10, 12)  # of world axes
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    stored = tuple(sides[axis] for axis in axes)
    for i, axis in enumerate(axes):
        turn[axis, i] = signs[axis] * apart[axis]
        turn[axis, 3] = 0 if signs[axis] > 0 else apart[axis] * (sides[axis] - 1)
    x = np.zeros(stored, np.float32)
    place = np.array([3.0, 14.0, 24.0])  # the voxel (2, 7, 8) of RAS+
    at = np.linalg.solve(turn, [*place, 1])[:3].round().astype(int)
    x[tuple(at)] = 1
    scan = read(str(nifti(tmp_path / "a.nii.gz", x, turn)))
    assert scan.x.shape == (1, 1, 12, 10, 8) and scan.spacing == pytest.approx((3.0, 2.0, 1.5))
    assert np.argwhere(scan.x[0, 0]).tolist() == [[8, 10 - 1 - 7, 8 - 1 - 2]]


def test_an_oblique_file_comes_to_the_closest_orientation_and_scaled_integers_to_their_values(tmp_path):
    turn, c = np.eye(4), np.cos(0.3)
    turn[:3, :3] = np.array([[c, -np.sin(0.3), 0], [np.sin(0.3), c, 0], [0, 0, 1]]) * 2
    x = (block(6, 7, 8) * 10).astype(np.int16)
    image = nibabel.Nifti1Image(x, turn)
    image.header.set_slope_inter(0.5, -1000)
    nibabel.save(image, tmp_path / "a.nii")
    scan = read(str(tmp_path / "a.nii"))
    assert np.allclose(scan.x[0, 0], nibabel.load(tmp_path / "a.nii").get_fdata().transpose(2, 1, 0)[:, ::-1, ::-1])
    assert scan.spacing == pytest.approx((2, 2, 2)) and scan.x.min() < 0
    image = nibabel.Nifti1Image(x[..., None], turn * [[1e3], [1e3], [1e3], [1]])
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii")
    assert read(str(tmp_path / "a.nii")).spacing == pytest.approx((2, 2, 2)), "and one volume on four axes is one"


def test_arrays_of_three_four_and_five_axes_are_read(tmp_path):
    many = np.stack([block(seed=i) for i in range(6)])
    wide = {"window": [-100, 300]}
    np.save(tmp_path / "dhw.npy", many[0])
    np.save(tmp_path / "ndhw.npy", many.astype(np.int16))
    np.save(tmp_path / "ncdhw.npy", many[:, None].repeat(2, 1))
    np.savez(tmp_path / "y.npz", x=many, y=np.array(list("abbaab")))
    assert np.allclose(own(volumes(tmp_path / "dhw.npy", **wide)), many[None, :1], atol=1e-4)
    assert np.allclose(own(volumes(tmp_path / "ndhw.npy", **wide))[:, 0], many.astype(np.int16), atol=1e-4)
    assert volumes(tmp_path / "ncdhw.npy").shape == (2, 8, 10, 12)
    data, held = volumes(tmp_path / "y.npz", **wide), volumes(tmp_path / "y.npz", held_out=0.3, split="test", **wide)
    assert data.classes == ("a", "b") and data.labels(torch.arange(6)).tolist() == [0, 1, 1, 0, 0, 1] and len(held) == 2
    rest = volumes(tmp_path / "y.npz", held_out=0.3, **wide)
    assert np.allclose(sorted(np.concatenate([own(rest), own(held)])[:, 0, 0, 0, 0]), sorted(many[:, 0, 0, 0]), atol=1e-4)
    for i in range(3):
        (tmp_path / f"in/{'ab'[i % 2]}").mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"in/{'ab'[i % 2]}/{i}.npy", np.stack([many[i], -many[i]]))
    data = volumes(tmp_path / "in")
    assert data.shape == (2, 8, 10, 12) and data.classes == ("a", "b") and data.medium == "scans"
    assert volumes(tmp_path / "in", labels=False).classes == () and volumes(tmp_path / "in", label="ct").classes == ("ct",)


def test_fewer_voxels_are_means_and_more_are_trilinear_as_torch_has_them():
    x = block(2, 1, 8, 6, 9)
    assert np.allclose(resampled(x, (4, 2, 3)), F.avg_pool3d(torch.tensor(x), (2, 3, 3)), atol=1e-3)
    assert np.allclose(resampled(x, (12, 13, 20)), F.interpolate(torch.tensor(x), (12, 13, 20), mode="trilinear"), atol=1e-3)
    assert np.allclose(weights(7, 3).sum(1), 1) and np.allclose(weights(7, 3).sum(0), 3 / 7), "each voxel counts alike"
    assert resampled(x, (5, 5, 5)).mean() == pytest.approx(x.mean(), rel=0.05)
    assert np.array_equal(resampled(x, (8, 6, 9)), x)


def test_a_spacing_keeps_true_lengths_and_is_cut_or_filled_around_the_middle(tmp_path):
    ball = np.zeros((20, 30, 40), np.float32)  # X, Y, Z of 3, 2 and 1 mm: 60 x 60 x 40 mm
    at = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in ball.shape), indexing="ij"), -1) * [3, 2, 1]
    ball[np.linalg.norm(at, axis=-1) < 15] = 1
    nifti(tmp_path / "a.nii.gz", ball - 1000, np.diag([3.0, 2.0, 1.0, 1.0]))
    data = volumes(tmp_path / "a.nii.gz", spacing=2, size=32, window=[-1000, -999])
    inside = own(data)[0, 0] > -999.5
    assert data.shape == (1, 32, 32, 32) and data.units.spacing == (2, 2, 2)
    assert inside.sum() * 8 == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.1)
    spans = [np.ptp(axis) + 1 for axis in inside.nonzero()]
    assert spans == pytest.approx([15] * 3, abs=1.1), "round again, 30 mm across"
    stretched = volumes(tmp_path / "a.nii.gz", size=[20, 30, 20])
    assert stretched.shape == (1, 20, 30, 20) and stretched.units.spacing == pytest.approx((2, 2, 3))
    x = block(1, 1, 4, 7, 5)
    assert placed(x, (6, 3, 5))[0, 0, 1:5].tolist() == x[0, 0, :, 2:5].tolist() and placed(x, (6, 3, 5))[0, 0, 0].max() == x.min()
    np.save(tmp_path / "b.npy", block())
    with pytest.raises(Problem, match="how far voxels are apart: leave data.spacing out"):
        volumes(tmp_path / "b.npy", spacing=1)


def test_spacings_that_differ_are_not_kept(tmp_path):
    for i, apart in enumerate((1.0, 1.005, 1.5)):
        nifti(tmp_path / f"{i}.nii.gz", block(seed=i), np.diag([apart, 1, 1, 1]))
    assert volumes(tmp_path).units.spacing == ()
    (tmp_path / "2.nii.gz").unlink()
    assert volumes(tmp_path).units.spacing == pytest.approx((1, 1, 1.0025), abs=1e-6)


def test_the_window_is_minus_1_to_1_and_by_default_of_the_training_volumes_alone(tmp_path):
    for i in range(20):
        np.save(tmp_path / f"{i}.npy", block(seed=i) + i)
    data, held = (volumes(tmp_path, held_out=0.25, split=split) for split in ("train", "test"))
    train = np.concatenate([np.load(tmp_path / name).ravel() for name in map("{}.npy".format, range(20))])
    low, high = data.units.offset[0] - data.units.scale[0], data.units.offset[0] + data.units.scale[0]
    x = data.get(torch.arange(len(data)))["x"]
    assert held.units == data.units and len(held) + len(data) == 20
    assert (x == -1).float().mean() == pytest.approx(0.005, abs=2e-3) == (x == 1).float().mean() and x.abs().max() == 1
    assert np.percentile(train, 0.1) < low < np.percentile(train, 2) and np.percentile(train, 98) < high < np.percentile(train, 99.9)
    given = volumes(tmp_path, window=[50, 150])
    assert given.units == Units(("0",), (100.0,), (50.0,), True) and own(given).min() == 50 and own(given).max() == 150
    assert Units.of(given.units.as_dict()) == given.units and "spacing" not in given.units.as_dict()
    kept = Units(("0",), (1.0,), (2.0,), True, (1.0, 2.0, 3.0))
    assert Units.of(kept.as_dict()) == kept and kept.held(torch.tensor([[[3.0]]])) == 1
    rare = np.zeros((4, 16, 16, 16))
    rare[:, 3, 3, 3] = 7
    np.save(tmp_path / "rare.npy", rare)
    assert volumes(tmp_path / "rare.npy").units.scale == (3.5,), "few voxels that differ are seen"


def bad(path, **settings):
    with pytest.raises(Problem) as caught:
        volumes(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def damaged(path):
    nifti(path, block())
    path.write_bytes(path.read_bytes()[:-200])


def nan(path):
    x = block()
    x[1, 2, 3] = np.nan
    np.save(path, x)


BROKEN = {
    "it is no NIfTI file, or cut short": ("z.nii.gz", damaged),
    "it is no NIfTI file, or cut short: write it anew": ("z.nii", lambda path: path.write_bytes(b"no such thing")),
    "it holds 3 volumes, (8, 10, 12, 3): save each as a file of its own": ("z.nii.gz", lambda path: nifti(path, block(8, 10, 12, 3))),
    "it is (8, 10, 1), a slice and no volume": ("z.nii.gz", lambda path: nifti(path, block(8, 10, 1))),
    "it is (10, 12): volumes have three axes, (D, H, W)": ("z.npy", lambda path: np.save(path, block(10, 12))),
    "1 voxels are NaN or infinite": ("z.npy", nan),
    "it is constant, 3 everywhere: leave it out": ("z.npy", lambda path: np.save(path, np.full((8, 10, 12), 3.0))),
    "it has 40 channels of 8 x 10 x 12 voxels; channels come first": ("z.npy", lambda path: np.save(path, block(40, 8, 10, 12))),
    "it is no plain array, or cut short": ("z.npy", lambda path: path.write_bytes(b"\x93NUMPY")),
    "call the one of volumes x": ("z.npz", lambda path: np.savez(path, p=block(), q=block())),
}


@pytest.mark.parametrize("says", BROKEN)
def test_a_bad_file_is_one_line_with_the_cure_or_left_out(tmp_path, says):
    name, make = BROKEN[says]
    np.save(tmp_path / "good.npy", block())
    make(tmp_path / name)
    assert says in bad(tmp_path) and "remove them, or set data.skip_broken=true" in bad(tmp_path)
    data = volumes(tmp_path, skip_broken=True)
    assert len(data) == 1 and f"1 files cannot be read and are skipped ({name}: " in " ".join(data.left_out)


def test_what_does_not_go_together_is_one_line(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", block()), np.save(tmp_path / "b.npy", block(seed=1)), np.save(tmp_path / "c.npy", block(16, 16, 16))
    assert "1 of 3 volumes are not of 8 x 10 x 12 voxels (c.npy: 16 x 16 x 16); say which one they get, as in data.size=8" in bad(tmp_path)
    assert volumes(tmp_path, size=8).shape == (1, 8, 8, 8)
    np.save(tmp_path / "c.npy", block(2, 8, 10, 12))
    assert "1 of 3 volumes have other channels than the 1 of the rest (c.npy: 2)" in bad(tmp_path)
    np.save(tmp_path / "two.npy", np.stack([block(), np.zeros((8, 10, 12))])[None])
    assert "channel 1 is constant (0) in all that is trained on" in bad(tmp_path / "two.npy")
    for window in ([5, 5], [9, 1], [1], [float("nan"), 1]):
        with pytest.raises(Usage, match=r"data.window=.* holds nothing; give \[low, high\]"):
            volumes(tmp_path / "a.npy", window=window)
    assert "all voxels lie on one side of data.window=[5000, 6000]; they reach from" in bad(tmp_path / "a.npy", window=[5000, 6000])
    for size in (1, [4, 4], 5000):
        with pytest.raises(Usage, match=r"data.size is voxels a side, or \[D, H, W\]"):
            volumes(tmp_path / "a.npy", size=size)
    with pytest.raises(Usage, match="say one of them"):
        volumes(tmp_path / "a.npy", labels=False, label="a")
    assert "one example cannot be both learnt and held out" in bad(tmp_path / "a.npy", held_out=0.1, split="test")
    nifti(tmp_path / "d.nii.gz", block())
    monkeypatch.setitem(sys.modules, "nibabel", None)
    assert "NIfTI files need nibabel; run pip install 'fromnoise[medical]', or save them as .npy" in bad(tmp_path / "d.nii.gz")
