import numpy as np
import pytest
from PIL import Image, ImageSequence

from fromnoise.errors import Usage
from fromnoise.figures import gif
from fromnoise.figures.animation import GREYS, HOLD


def played(path):
    with Image.open(path) as opened:
        return [(np.asarray(frame.convert("RGB")).astype(int), frame.info["duration"]) for frame in ImageSequence.Iterator(opened)]


def test_grey_frames_keep_their_shades(tmp_path):
    ramps = [Image.fromarray(np.roll(np.arange(256, dtype=np.uint8), 32 * i).reshape(16, 16)) for i in range(5)]
    shown = played(gif(ramps, tmp_path / "a.gif"))
    assert len(shown) == 5
    for ramp, (frame, _) in zip(ramps, shown, strict=True):
        assert np.abs(frame - np.asarray(ramp).astype(int)[..., None]).max() <= 255 / (GREYS - 1) / 2 + 1


def test_colours_are_kept(tmp_path):
    rng = np.random.default_rng(0)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (250, 240, 20), (255, 255, 255), (0, 0, 0)]
    last = np.zeros((30, 60, 3), np.uint8)
    for i, colour in enumerate(colours):
        last[:, i * 10 : i * 10 + 10] = colour
    noise = [Image.fromarray(rng.integers(0, 256, last.shape, dtype=np.uint8)) for _ in range(4)]
    shown = played(gif([*noise, Image.fromarray(last)], tmp_path / "a.gif"))
    assert np.abs(shown[-1][0] - last).max() <= 12


def test_the_last_frame_is_held(tmp_path):
    frames = [Image.new("L", (8, 8), 40 * i) for i in range(5)]
    times = [duration for _, duration in played(gif(frames, tmp_path / "a.gif", seconds=2))]
    assert times == [500, 500, 500, 500, 1000 * HOLD]


def test_frames_that_do_not_change_still_take_their_time(tmp_path):
    times = [duration for _, duration in played(gif([Image.new("L", (8, 8), 9)] * 5, tmp_path / "a.gif", seconds=2))]
    assert sum(times) == 2000 + 1000 * HOLD


def test_sizes_follow_the_last_frame_and_one_frame_is_enough(tmp_path):
    path = gif([Image.new("L", (5, 5)), Image.new("RGB", (20, 10), (9, 9, 200))], tmp_path / "a.gif")
    assert {frame.shape for frame, _ in played(path)} == {(10, 20, 3)}
    assert len(played(gif([Image.new("L", (5, 5))], tmp_path / "b.gif"))) == 1
    with pytest.raises(Usage):
        gif([], tmp_path / "c.gif")
