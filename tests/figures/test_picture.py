import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.errors import Problem, Usage
from fromnoise.figures import grid, save, tiles, to_uint8, write
from fromnoise.figures.picture import DOT, PANEL, SPAN, even, opaque, sheet


def test_every_byte_comes_back():
    byte = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert np.array_equal(to_uint8(byte.float() / 127.5 - 1)[..., 0], byte[0].numpy())


def test_what_is_outside_is_clipped_and_nan_is_mid_grey():
    x = torch.tensor([-9.0, 9.0, float("nan"), float("inf"), float("-inf")]).reshape(1, 1, 1, 5)
    assert to_uint8(x).ravel().tolist() == [0, 255, 128, 255, 0]


def test_uint8_has_channels_last():
    x = torch.full((2, 3, 4, 5), -1.0)
    x[:, 1] = 1
    assert to_uint8(x).shape == (2, 4, 5, 3)
    assert to_uint8(x)[0, 0, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_lays_tiles_row_by_row(channels):
    x = torch.linspace(-1, 1, 6).reshape(6, 1, 1, 1).expand(6, channels, 4, 5)
    picture = np.asarray(grid(x, columns=3, pad=2, scale=3)).reshape(2 * 12 + 3 * 2, 3 * 15 + 4 * 2, -1)
    expected = to_uint8(x)[:, 0, 0]
    for i in range(6):
        top, left = 2 + i // 3 * 14, 2 + i % 3 * 17
        assert (picture[top : top + 12, left : left + 15] == expected[i]).all()
    assert (picture[:2] == 255).all() and (picture[:, -2:] == 255).all()


def test_small_pictures_are_enlarged_by_a_whole_factor_and_pixels_stay_sharp():
    x = torch.rand(1, 1, 8, 8) * 2 - 1
    tile = np.asarray(tiles(x)[0])
    assert tile.shape == (64, 64)
    assert np.array_equal(tile[4::8, 4::8], to_uint8(x)[0, ..., 0])
    assert tiles(torch.zeros(1, 3, 200, 300))[0].size == (300, 200)


def test_transparent_is_seen_as_transparent():
    clear = torch.full((1, 4, 16, 16), -1.0)
    solid = clear.clone()
    solid[:, 3] = 1
    assert len(opaque(tiles(clear)[0]).getcolors()) == 2  # the two greys of the board
    assert tiles(solid)[0].getcolors() == [(64 * 64, (0, 0, 0))]


@pytest.mark.parametrize("shape", [(3, 1, 50), (3, 2, 50), (3, 1, 7, 8, 9), (3, 3, 7, 8, 9), (3, 2, 8, 8), (3, 6, 8, 8)])
def test_signals_videos_and_odd_channels_are_drawn(shape):
    drawn = tiles(torch.rand(shape) * 2 - 1)
    assert len(drawn) == 3 and all(len(tile.getcolors(1 << 20)) > 1 for tile in drawn)


def test_a_point_is_where_it_says():
    (panel,) = tiles(torch.tensor([[SPAN / 2, SPAN / 2], [99.0, 0], [float("nan"), 0]]))
    found = (np.asarray(panel) == DOT).all(-1)
    assert np.allclose(np.argwhere(found).mean(0), [PANEL / 4, PANEL * 3 / 4], atol=1)  # a quarter from the top, a quarter from the right


def test_nothing_is_refused_with_the_cure():
    with pytest.raises(Usage, match="-n 1"):
        grid(torch.zeros(0, 1, 8, 8))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_one_sample_is_saved_as_itself(tmp_path, channels, mode):
    x = torch.rand(1, channels, 9, 7) * 2 - 1
    with Image.open(save(x, tmp_path / "one.png")) as picture:
        assert picture.mode == mode
        assert np.array_equal(np.asarray(picture).reshape(9, 7, channels), to_uint8(x)[0])


def test_npz_is_as_the_adm_suite_reads_it(tmp_path):
    x = torch.rand(5, 3, 8, 8) * 2 - 1
    with np.load(save(x, tmp_path / "samples.npz", labels=[3, 1, 4, 1, 5])) as held:
        assert held["arr_0"].dtype == np.uint8 and np.array_equal(held["arr_0"], to_uint8(x))
        assert held["arr_1"].dtype == np.int64 and held["arr_1"].tolist() == [3, 1, 4, 1, 5]
    with np.load(save(x, tmp_path / "unlabelled.npz")) as held:
        assert list(held) == ["arr_0"]


def test_points_keep_their_values_in_npz(tmp_path):
    x = torch.randn(5, 2) * 4
    with np.load(save(x, tmp_path / "points.npz")) as held:
        assert np.array_equal(held["arr_0"], x.numpy())


def test_a_folder_holds_one_file_each(tmp_path):
    x = torch.rand(3, 1, 8, 8) * 2 - 1
    save(x, tmp_path / "out", labels=[7, 0, 2])
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["000000_7.png", "000001_0.png", "000002_2.png"]
    assert np.array_equal(np.asarray(Image.open(files[1])), to_uint8(x)[1, ..., 0])


def test_alpha_is_flattened_where_the_format_has_none(tmp_path):
    with Image.open(save(torch.zeros(1, 4, 8, 8), tmp_path / "flat.jpg")) as picture:
        assert picture.mode == "RGB"


def test_an_unknown_suffix_leaves_nothing(tmp_path):
    with pytest.raises(Usage, match=r"\.xyz"):
        save(torch.zeros(2, 1, 8, 8), tmp_path / "a.xyz")
    with pytest.raises(Usage, match="no kind of picture"):
        write(Image.new("L", (2, 2)), tmp_path / "a.txt")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    target = save(torch.zeros(4, 1, 8, 8), tmp_path / "a.png")
    before = target.read_bytes()

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(Problem, match="No space left"):
        save(torch.ones(4, 1, 8, 8), target)
    assert target.read_bytes() == before and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (2, 2), (3, 3), (7, 7), (9, 3), (10, 5), (12, 4), (13, 7), (40, 8), (64, 8)])
def test_no_last_row_is_left_ragged_where_it_can_be_full(n, columns):
    assert even(n) == columns
    assert sheet([Image.new("L", (10, 10))] * n).width == 12 * columns + 2
