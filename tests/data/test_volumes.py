"""Volumes of one's own: read the same way round whatever the file says, in a window, and written and measured in their own units."""

import nibabel
import numpy as np
import pytest
import torch
from rich.console import Console

from fromnoise.config import Recipe
from fromnoise.data.files.scans import as_nifti, nifti, read
from fromnoise.data.files.volumes import Volumes, sized
from fromnoise.data.inspect import report
from fromnoise.data.units import Units
from fromnoise.errors import Problem, Usage
from fromnoise.evaluation.scans import score_scans, shell_powers
from fromnoise.figures import media

rng = np.random.default_rng(0)


def folder(tmp_path, count=12, shape=(10, 9, 8), ending=".npy", classes=("",)):
    """A folder of random volumes, of which the values of number i lie about i."""
    for i in range(count):
        home = tmp_path / classes[i % len(classes)]
        home.mkdir(parents=True, exist_ok=True)
        x = (i + rng.standard_normal(shape)).astype(np.float32)
        if ending == ".npy":
            np.save(home / f"v{i:02d}.npy", x)
        else:
            nibabel.save(nibabel.Nifti1Image(x, np.eye(4)), home / f"v{i:02d}{ending}")
    return tmp_path


AFFINES = {
    "to the right, front, head": np.diag([1.0, 1, 1, 1]), "to the left, back, head": np.diag([-1.0, -1, 1, 1]),
    "axes exchanged": np.array([[0, 0, 2.0, 0], [1, 0, 0, 0], [0, -3.0, 0, 0], [0, 0, 0, 1]]),
}  # fmt: skip


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_a_place_in_the_body_is_found_whichever_way_round_it_is_stored(affine, tmp_path):
    """A bright voxel nearest to the head, the front and the patient's right is the first along all three axes."""
    x, corners = np.zeros((7, 6, 5), np.int16), [(i, j, k) for i in (0, 6) for j in (0, 5) for k in (0, 4)]
    world = {corner: affine[:3, :3] @ corner for corner in corners}
    x[max(corners, key=lambda corner: world[corner].sum())] = 1000  # to the right, the front and the head
    nibabel.save(nibabel.Nifti1Image(x, affine), tmp_path / "a.nii.gz")
    found = nifti(str(tmp_path / "a.nii.gz"))
    at = np.unravel_index(int(found.argmax()), found.shape)
    assert at == (0, 0, 0)


def test_a_header_scales_values_and_what_is_written_is_read_back(tmp_path):
    image = nibabel.Nifti1Image(np.full((5, 6, 7), 100, np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, -1000)
    nibabel.save(image, tmp_path / "ct.nii")
    assert read(str(tmp_path / "ct.nii")).shape == (1, 7, 6, 5)
    x = rng.standard_normal((5, 6, 7)).astype(np.float32)
    nibabel.save(as_nifti(x), tmp_path / "x.nii.gz")
    assert np.array_equal(read(str(tmp_path / "x.nii.gz"))[0], x)
    four = nibabel.Nifti1Image(x[..., None], np.eye(4))
    nibabel.save(four, tmp_path / "four.nii")
    assert nifti(str(tmp_path / "four.nii")).shape == (7, 6, 5), "one volume in time is a volume"


def test_sizes_are_averages_or_between_voxels():
    x = torch.arange(8.0).reshape(1, 1, 2, 2, 2)
    assert sized(x, (1, 1, 1)).flatten().tolist() == [3.5]
    assert sized(x, (2, 2, 4))[0, 0, 0, 0].tolist() == [0, 0.25, 0.75, 1]
    assert torch.equal(sized(torch.full((1, 2, 8, 3, 5), 7.0), (4, 6, 5)), torch.full((1, 2, 4, 6, 5), 7.0))


def test_a_window_is_learnt_as_minus_one_to_one_and_clipped(tmp_path):
    data = Volumes(str(folder(tmp_path)), window=[2, 6])
    assert data.medium == "scans" and data.shape == (1, 10, 9, 8) and len(data) == 11 and data.units.clipped
    assert data.units.offset == (4.0,) and data.units.scale == (2.0,)
    x = data.get(torch.arange(len(data)))["x"]
    assert float(x.min()) == -1 and float(x.max()) == 1 and any("outside the window" in line for line in data.left_out)
    usual = Volumes(str(tmp_path))
    low, high = (usual.units.offset[0] + sign * usual.units.scale[0] for sign in (-1, 1))
    files = [np.load(file) for file in sorted(tmp_path.glob("*.npy"))]
    inside = np.mean([(low <= file) & (file <= high) for file in files])
    assert inside == pytest.approx(0.99, abs=0.02), "the 0.5 to 99.5 percentiles of what is trained on"


def test_classes_splits_and_one_file_of_several(tmp_path):
    root = folder(tmp_path / "a", classes=("ill", "well"))
    train, test = (Volumes(str(root), held_out=0.3, split=split) for split in ("train", "test"))
    assert train.classes == ("ill", "well") and len(train) + len(test) == 12 and len(test) > 0
    assert train.units == test.units, "both are in the units of what is trained on"
    x = rng.standard_normal((20, 2, 9, 9, 9)).astype(np.float32)
    x[:, 1] *= 100
    np.savez(tmp_path / "many.npz", x=x, label=np.arange(20) % 3)
    made = Volumes(str(tmp_path / "many.npz"), size=5)
    assert made.shape == (2, 5, 5, 5) and made.classes == ("0", "1", "2") and len(made) == 19
    assert made.units.scale[1] > 50 * made.units.scale[0], "each channel has a window of its own"


def bad(tmp_path):
    folder(tmp_path, 3)
    x = rng.standard_normal((10, 9, 8)).astype(np.float32)
    yield "no NIfTI", "is no NIfTI image, or cut short", lambda: (tmp_path / "v99.nii.gz").write_bytes(b"nothing")
    yield "cut short", "cut short", lambda: (tmp_path / "v99.npy").write_bytes((tmp_path / "v00.npy").read_bytes()[:200])
    yield "flat", "save a volume as", lambda: np.save(tmp_path / "v99.npy", x[0])
    yield "NaN", "1 of 720 values are NaN", lambda: np.save(tmp_path / "v99.npy", np.where(np.arange(720).reshape(x.shape) == 5, np.nan, x))
    yield "size", "set data.size, as in data.size=64", lambda: np.save(tmp_path / "v99.npy", x[1:])
    yield "channels", "v99.npy has 2 channels", lambda: np.save(tmp_path / "v99.npy", np.stack([x, x]))
    yield "small", "4 voxels or more along each axis", lambda: np.save(tmp_path / "v99.npy", x[:2])
    yield "words", "save real numbers", lambda: np.save(tmp_path / "v99.npy", np.full((5, 5, 5), "a"))
    series = nibabel.Nifti1Image(np.zeros((5, 5, 5, 3), np.int16), np.eye(4))
    yield "series", "it holds 3 volumes, one after another", lambda: nibabel.save(series, tmp_path / "v99.nii")


@pytest.mark.parametrize("case", range(9))
def test_what_cannot_be_read_is_one_line(case, tmp_path):
    name, says, spoil = list(bad(tmp_path))[case]
    spoil()
    with pytest.raises(Problem, match=says) as error:
        Volumes(str(tmp_path), held_out=0.3)
    assert "\n" not in str(error.value), name


def test_windows_that_cannot_be_are_refused(tmp_path):
    root = str(folder(tmp_path))
    for window in ([5, 5], [6, 2], [1, 2, 3]):
        with pytest.raises(Usage, match="low below high"):
            Volumes(root, window=window)
    with pytest.raises(Problem, match="constant in the window 900 to 1000; it goes from"):
        Volumes(root, window=[900, 1000])
    with pytest.raises(Usage, match=r"\[D, H, W\]"):
        Volumes(root, size=[4, 4])


def test_samples_are_written_in_their_own_units(tmp_path):
    units = Units(("value",), (-500.0,), (500.0,), clipped=True)
    assert Units.of(units.as_dict()) == units
    recipe = Recipe(medium="scans", units=units.as_dict())
    x = torch.rand(1, 1, 6, 5, 4) * 2 - 1
    for name in ("a.nii.gz", "a.nii", "a.npy"):
        media.save(x, tmp_path / name, recipe=recipe)
        found = read(str(tmp_path / name)) if "nii" in name else np.load(tmp_path / name)[0]
        assert np.allclose(found[0], x[0, 0] * 500 - 500, atol=1e-3), name
    with pytest.raises(Usage, match=r"one volume, not 2 volumes; draw one \(-n 1\)"):
        media.save(x.expand(2, -1, -1, -1, -1), tmp_path / "b.nii", recipe=recipe)
    with pytest.raises(Usage, match=r"end it in .nii.gz"):
        media.save(x, tmp_path / "b.gz", recipe=recipe)
    (tile,) = media.tiles(x, 1, "scans", units)
    middle = (np.concatenate([np.pad(x[0, 0, 3], ((0, 1), (0, 0)), constant_values=-1), -np.ones((6, 1)), x[0, 0, :, 2], -np.ones((6, 1)), x[0, 0, :, :, 2]], 1) + 1)
    assert np.abs(np.asarray(tile, float) - middle * 127.5).max() <= 0.5, "the three middle slices, a column between them"


def test_blur_is_seen_in_the_spectrum_and_a_shift_in_the_quantiles(tmp_path):
    train, test = (Volumes(str(folder(tmp_path, 40)), window=[-4, 44], held_out=0.3, split=split) for split in ("train", "test"))
    x = train.get(torch.arange(len(train)))["x"]
    blurred = torch.nn.functional.avg_pool3d(torch.nn.functional.pad(x, (1,) * 6, mode="replicate"), 3, 1)
    held_out = test.get(torch.arange(len(test)))["x"]
    real, soft, same, shifted = (score_scans(part, train, test) for part in (x, blurred, held_out, held_out + 0.5))
    assert soft["spectrum distance, dB"].value > 3 * real["spectrum distance, dB"].value
    assert same["quantile distance"].value == 0 and shifted["quantile distance"].value == pytest.approx(0.5 * 24, rel=1e-4), "half of half the window"
    assert shifted["mean"].value - same["mean"].value == pytest.approx(0.5 * 24, rel=1e-3)
    with pytest.raises(Problem, match="not finite"):
        score_scans(x * float("nan"), train, test)


def test_power_is_in_the_shell_of_its_wavelength():
    wave = torch.cos(2 * torch.pi * 3 * torch.arange(16) / 16).expand(1, 16, 16, 16)
    powers = shell_powers(wave)
    assert len(powers) == 8 and int(powers.argmax()) == 2 and float(powers.sort().values[-2]) < float(powers.max()) - 100
    noise = shell_powers(torch.randn(200, 12, 12, 12, generator=torch.Generator().manual_seed(0)))
    assert float((noise - 10 * np.log10(12**3)).abs().max()) < 0.2, "of white noise each frequency has the power of all voxels"


def test_inspect_proposes_a_window_and_a_size(tmp_path, capsys):
    root = folder(tmp_path / "scans", 20, (20, 20, 20), ".nii.gz")
    (root / "broken.nii").write_bytes(b"no")
    recipe = report.report(root, 5, lambda *_: 50.0, Console(width=200))["scans"]
    out = capsys.readouterr().out
    assert "20 of 20x20x20" in out and "(volumes)" in out and "1 broken" in out
    assert "name: volumes" in recipe and "size: 16" in recipe and "skip_broken: true" in recipe and "window: [" in recipe
    for name in ("nowhere.csv", "nowhere"):
        with pytest.raises(Problem, match="no such file or folder; name the one"):
            report.inspector_of(tmp_path / name)
    for name, holds in (("one.npz", "volumes"), ("signals.npz", "signals")):
        np.savez(tmp_path / name, x=rng.standard_normal((6, 9, 9, 9) if holds == "volumes" else (6, 2, 90)))
        assert f"({holds})" in " ".join(dict(report.inspector_of(tmp_path / name).inspect(tmp_path / name).rows())["path"].split())
