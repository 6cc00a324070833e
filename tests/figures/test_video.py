"""Clips as films and strips, read back by the libraries that know these files."""

import base64
import re
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fromnoise.cli.main import app
from fromnoise.config import Recipe
from fromnoise.data.files.films import film
from fromnoise.errors import Problem, Usage
from fromnoise.figures import check, grid, save, tiles, to_uint8, write_samples
from fromnoise.figures.video import delays, player
from fromnoise.training import train

CLIPS = Recipe(medium="videos", rate=12.0)


def clips(n=1, channels=1, frames=5, size=(12, 16)):
    return torch.rand(n, channels, frames, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def seen(path):
    """(frames as RGB arrays, milliseconds of each, how often it plays)."""
    with Image.open(path) as opened:
        shown, times = [], []
        for i in range(opened.n_frames):
            opened.seek(i)
            shown.append(np.asarray(opened.convert("RGB")))
            times.append(opened.info["duration"])
        return np.stack(shown), times, opened.info.get("loop")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("ending", [".webp", ".apng", ".gif"])
def test_one_clip_comes_back_pixel_by_pixel(ending, channels, tmp_path):
    x = clips(channels=channels)
    shown, times, loop = seen(save(x, tmp_path / f"a{ending}", recipe=CLIPS))
    exact = to_uint8(x)[0] if channels == 3 else to_uint8(x)[0].repeat(3, -1)
    apart = np.abs(shown.astype(int) - exact)
    assert shown.shape == exact.shape and (apart.mean() < 12 if (ending, channels) == (".gif", 3) else apart.max() == 0)
    assert loop == 0 and sum(times) == pytest.approx(5000 / 12, abs=6) and max(times) - min(times) <= 10
    assert film(tmp_path / f"a{ending}").rate == pytest.approx(12, rel=0.02)


def test_colours_do_not_flicker_in_a_gif(tmp_path):
    x = clips(channels=3, frames=1).repeat(1, 1, 6, 1, 1)
    x[:, :, :, 0, 0] = torch.linspace(-1, 1, 6)  # what moves
    shown, _, _ = seen(save(x, tmp_path / "a.gif", recipe=CLIPS))
    assert (shown[:, 1:] == shown[:1, 1:]).all() and len(shown) == 6


def test_what_writes_mp4_is_wanted_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Problem, match=r"an mp4 needs PyAV; run pip install 'fromnoise.video.', or end --out in .webp, .apng or .gif"):
        check(tmp_path / "a.mp4", ".mp4")
    check(tmp_path / "a.gif", ".mp4")


def test_an_mp4_has_its_frames_rate_and_an_even_size(tmp_path):
    x = torch.linspace(-0.9, 0.9, 7)[None, None, :, None, None].expand(1, 3, 7, 13, 15)
    with av.open(str(save(x, tmp_path / "a.mp4", recipe=Recipe(medium="videos", rate=12.5)))) as file:
        stream = file.streams.video[0]
        found = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(stream)])
        assert stream.average_rate == Fraction(25, 2) and stream.codec_context.pix_fmt == "yuv420p"
    assert len(found) == 7 and found.shape[1] % 2 == found.shape[2] % 2 == 0
    assert np.abs(found.mean((1, 2, 3)) - to_uint8(x)[0].mean((1, 2, 3))).max() < 4


def test_clips_play_together_with_their_words(tmp_path):
    x = clips(6)
    shown, _, _ = seen(write_samples(x, tmp_path / "a.webp", {"label": torch.arange(6) % 3}, ("a", "b", "c"), CLIPS))
    assert len(shown) == 5
    still = np.asarray(tiles(x[:1, :, 3], medium="pictures")[0])
    rows, columns = (shown[3].shape[i] - still.shape[i] for i in (0, 1))
    places = [(r, c) for r in range(rows) for c in range(columns) if (shown[3][r, c] == still[0, 0]).all()]
    assert any((shown[3][r : r + len(still), c : c + still.shape[1], 0] == still).all() for r, c in places), "its frame at that time is in the grid"
    plain = write_samples(x, tmp_path / "plain.webp", {}, (), CLIPS)
    assert Image.open(plain).size < Image.open(tmp_path / "a.webp").size


def test_a_folder_holds_one_film_each_and_an_archive_bytes(tmp_path):
    x = clips(3)
    save(x, tmp_path / "folder", [2, 0, 1], CLIPS)
    assert sorted(file.name for file in (tmp_path / "folder").iterdir()) == ["000000_2.webp", "000001_0.webp", "000002_1.webp"]
    assert np.array_equal(seen(tmp_path / "folder" / "000001_0.webp")[0][..., :1], to_uint8(x)[1])
    with np.load(save(x, tmp_path / "a.npz", recipe=CLIPS)) as arrays:
        assert arrays["arr_0"].dtype == np.uint8 and np.array_equal(arrays["arr_0"], to_uint8(x))


def test_many_clips_show_three_frames_and_few_all_of_them():
    x = torch.stack([torch.full((1, 9, 40, 40), -1.0)] * 10)
    x[:, :, 4], x[:, :, 8] = 0, 1
    tile = np.asarray(tiles(x, medium="videos")[0])
    assert [int(tile[20, 1 + 20 + 41 * i]) for i in range(3)] == [0, 128, 255]
    strip = grid(x[:2], medium="videos")
    assert strip.width > 9 * 40 and 80 < strip.height < 100 and grid(x, medium="videos").width < 5 * 130


def test_no_error_in_time_adds_up():
    assert delays(8, 8, 10) == [120, 130, 120, 130, 120, 130, 120, 130] or sum(delays(8, 8, 10)) == 1000
    assert sum(delays(300, 29.97, 1)) == round(300_000 / 29.97) and set(delays(300, 29.97, 1)) == {33, 34}


def test_a_gif_that_would_be_too_fast_says_so(tmp_path, capsys):
    _, times, _ = seen(save(clips(), tmp_path / "a.gif", recipe=Recipe(medium="videos", rate=120.0)))
    assert "at most 50 frames a second" in capsys.readouterr().err and times == [20] * 5
    with pytest.raises(Usage, match="nothing to draw"):
        save(clips()[:0], tmp_path / "b.gif", recipe=CLIPS)


def test_a_heavy_film_is_light_in_a_page(tmp_path):
    page = player(save(clips(4, 3, 24, (64, 64)), tmp_path / "a.webp", recipe=CLIPS))
    assert (tmp_path / "a.webp").stat().st_size > 900_000
    (data,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', page)
    (tmp_path / "light.webp").write_bytes(base64.b64decode(data))
    assert (tmp_path / "light.webp").stat().st_size < 900_000 and len(seen(tmp_path / "light.webp")[0]) == 24
    assert sum(seen(tmp_path / "light.webp")[1]) == 2000


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = {
        "data": {"name": "moving_digits", "frames": 6, "size": 16, "digit": 12, "base": "mnist_5k", "count": 40},
        "network": {"name": "conv", "width": 8, "kernel": 3},
        "conditions": ["label"], "sample": {"name": "ddim", "steps": 2}, "train": {"steps": 4, "batch": 4, "evals": 1, "warmup": 0, "held_out": 8},
    }  # fmt: skip
    return train(recipe, tmp_path_factory.mktemp("runs") / "run", quiet=True).path


def test_a_run_plays_its_samples_in_its_report(run):
    shown, times, _ = seen(run / "samples" / "final.webp")
    assert len(shown) == 6 and sum(times) == 750
    assert base64.b64encode((run / "samples" / "final.webp").read_bytes()).decode() in (run / "report.html").read_text()
    with Image.open(run / "samples" / "reverse.gif") as film:
        assert film.n_frames >= 6, "it plays on to its end once it is denoised"


def test_samples_are_written_as_films(run, tmp_path):
    for out, frames in (("a.gif", 6), ("a.apng", 6), ("b.webp", 6), ("a.png", 1)):
        found = CliRunner().invoke(app, ["sample", str(run), "-n", "3", "--out", str(tmp_path / out), "--device", "cpu"])
        assert found.exit_code == 0, found.output
        with Image.open(tmp_path / out) as opened:
            assert opened.n_frames == frames
    found = CliRunner().invoke(app, ["sample", str(run), "-n", "3", "--gif", "--out", str(tmp_path / "c.gif")])
    assert "the reverse process would be c.gif too" in str(found.exception) and not (tmp_path / "c.gif").exists()
    found = CliRunner().invoke(app, ["sample", str(run), "--out", str(tmp_path / "it.avi")])
    assert "end it in .png, .webp, .jpg, .npz, .gif, .apng or .mp4" in str(found.exception)
