"""Clips of one's own: files of every kind that is read, when their frames are shown, windows, splits, and what is said of bad ones."""

import os
import sys

import av
import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.data import DATASETS, feed
from fromnoise.data.files.films import film, in_order
from fromnoise.data.files.header import Broken
from fromnoise.data.plan import Plan
from fromnoise.errors import Problem, Usage


def frame(i, size=(12, 8), colour=False):
    """A picture of one level, 10 * i, so that a frame says its own number."""
    return Image.new("RGB", size, (10 * i, 255 - 10 * i, 0)) if colour else Image.new("L", size, 10 * i)


def animation(path, count=8, delays=100, size=(12, 8), colour=False):
    """An animated GIF, WebP or PNG, whose i-th frame is `frame(i)`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = [frame(i, size, colour) for i in range(count)]
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=others, duration=delays, loop=0, **lossless)
    return path


def folder(path, count=8, name="{:03}.png", size=(12, 8), first=0):
    path.mkdir(parents=True)
    for i in range(count):
        frame(i, size).save(path / name.format(i + first))
    return path


def video(path, count=24, fps=12, size=(32, 16), codec=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec or {".webm": "libvpx", ".avi": "mpeg4", ".mkv": "mpeg4"}.get(path.suffix, "mpeg4"), rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate, stream.gop_size = *size, "yuv420p", 2_000_000, 6
        for i in range(count):
            container.mux(stream.encode(av.VideoFrame.from_image(frame(i, size).convert("RGB"))))
        container.mux(stream.encode())
    return path


def clips(path, **settings):
    return DATASETS["clips"](str(path), **{"held_out": 0, "frames": 4, **settings})


def levels(data, rows=None):
    """The numbers of the frames of clips (N, T), as they say them; all pixels of a frame are alike."""
    x = data.take(torch.arange(len(data)) if rows is None else torch.tensor(rows))["x"].float()
    assert x.shape[1:] == data.shape
    return (x.mean((1, 3, 4)) / 10).round().int().tolist()


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("ending", ["gif", "webp", "png", "apng"])
def test_animations_are_cut_into_clips_of_their_frames(tmp_path, ending, memory):
    animation(tmp_path / f"a.{ending}", 11)
    data = clips(tmp_path, memory=memory)
    assert (data.shape, data.medium, data.rate, data.in_memory, data.keys) == ((1, 4, 8, 12), "videos", 10.0, memory, ())
    assert levels(data) == [[1, 2, 3, 4], [5, 6, 7, 8]], "what is left over is cut off both ends"
    assert data.get(torch.tensor([0]))["x"].min() == pytest.approx(10 / 127.5 - 1)
    assert levels(clips(tmp_path, hop=3, memory=memory)) == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert levels(clips(tmp_path, stride=2, memory=memory)) == [[1 * 2, 4, 6, 8]]


def test_colours_are_kept_and_a_set_of_one_is_of_three_channels(tmp_path):
    animation(tmp_path / "a.gif", colour=True)
    animation(tmp_path / "b.gif")
    data = clips(tmp_path, frames=8)
    assert data.shape == (3, 8, 8, 12)
    assert (data.take(torch.tensor([0]))["x"][0, :, 3, 2, 2].int() - torch.tensor([30, 225, 0])).abs().max() <= 4
    assert clips(tmp_path, frames=8, channels="grey").shape[0] == 1
    assert clips(tmp_path, frames=8, channels="rgba").take(torch.tensor([0]))["x"][0, 3].min() == 255


def test_uneven_delays_are_honoured_by_time(tmp_path):
    animation(tmp_path / "a.gif", 5, [100, 300, 100, 200, 100])  # 0.8 s: shown at 0, 100, 400, 500, 700 ms
    assert levels(clips(tmp_path, frames=8, rate=10)) == [[0, 1, 1, 1, 2, 3, 3, 4]]
    assert levels(clips(tmp_path, frames=4, rate=5)) == [[0, 1, 2, 3]]
    assert levels(clips(tmp_path, frames=8)) == [[0, 1, 1, 1, 2, 3, 3, 4]], "its own rate is that of its median delay"
    assert film(tmp_path / "a.gif").rate == pytest.approx(10) and not film(tmp_path / "a.gif").even
    animation(tmp_path / "b/a.gif", 5, 0)
    assert film(tmp_path / "b/a.gif").rate == pytest.approx(10), "no delay is shown as a tenth of a second"


@pytest.mark.parametrize(("own", "rate", "wanted"), [(40, 10, [0, 2, 5, 7]), (100, 20, [0, 0, 1, 1]), (100, 10, [0, 1, 2, 3])])
def test_a_rate_is_met_by_leaving_out_and_repeating_frames(tmp_path, own, rate, wanted):
    animation(tmp_path / "a.gif", 12, own)
    data = clips(tmp_path, rate=rate, hop=1)
    assert data.rate == rate and levels(data)[0] == wanted


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("ending", ["mp4", "mov", "avi", "mkv", "webm"])
def test_videos_are_read_by_their_own_times(tmp_path, ending, memory):
    video(tmp_path / f"a.{ending}", 24, 12)
    about = film(tmp_path / f"a.{ending}")
    assert len(about) == 24 and about.even and about.rate == pytest.approx(12, rel=0.02)
    assert levels(clips(tmp_path, memory=memory, channels="grey")) == [[i, i + 1, i + 2, i + 3] for i in range(0, 24, 4)]
    data = clips(tmp_path, rate=4, memory=memory, size=8)
    assert data.shape == (3, 4, 8, 8) and data.rate == 4
    assert levels(clips(tmp_path, stride=3, hop=1, channels="grey", memory=memory)) == [[3 * i, 3 * i + 3, 3 * i + 6, 3 * i + 9] for i in range(5)]


def test_a_video_is_turned_as_the_camera_was_held(tmp_path):
    left = Image.new("L", (32, 16), 0)
    left.paste(255, (0, 0, 8, 16))  # a white bar on the left: by a quarter turn to the left, at the bottom
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        stream.set_display_rotation(90)  # counterclockwise
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_image(left.convert("RGB"))))
        container.mux(stream.encode())
    data = clips(tmp_path, channels="grey")
    assert data.shape == (1, 4, 32, 16)
    rows = data.take(torch.tensor([0]))["x"][0, 0, 0].float().mean(1)
    assert rows[26:].min() > 230 and rows[:22].max() < 25


def test_videos_without_pyav_are_a_line(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"whatever")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Problem, match=r"^a\.mp4 needs PyAV; run pip install 'fromnoise\[video\]', or convert it to GIF or a folder of numbered frames$"):
        clips(tmp_path)


@pytest.mark.parametrize("ending", ["mp4", "webm", "avi"])
def test_damaged_videos_are_named(tmp_path, ending):
    whole = video(tmp_path / f"a.{ending}").read_bytes()
    for name, content, reason in (("b", b"", "empty"), ("c", b"no video" * 99, "no video|no pictures"), ("d", whole[:300], "cut short|no frames|no pictures")):
        (tmp_path / f"{name}.{ending}").write_bytes(content)
        with pytest.raises(Broken, match=reason):
            film(tmp_path / f"{name}.{ending}")
    with pytest.raises(Problem, match=r"3 of 4 clips cannot be read \(b\..*; c\..*; d\..*\); remove them, or set data.skip_broken=true"):
        clips(tmp_path)
    data = clips(tmp_path, skip_broken=True)
    assert len(data) == 6 and "3 clips are broken and skipped" in data.left_out[-1]


def test_folders_of_numbered_frames_are_films_in_the_order_of_their_numbers(tmp_path):
    folder(tmp_path / "cat/one", 12, "f{}.png")
    folder(tmp_path / "cat/two", 5, "{:04}.jpg", first=998)
    folder(tmp_path / "dog/it", 4)
    (tmp_path / "dog/it.txt").write_text("a dog runs")
    (tmp_path / "cat/one.txt").write_text("a cat sleeps")
    frame(3).save(tmp_path / "cat/poster.png")
    data = clips(tmp_path, stride=1)
    assert data.classes == ("cat", "dog") and data.rate == 0.0
    assert levels(data) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [0, 1, 2, 3], [0, 1, 2, 3]]
    batch = data.take(torch.arange(5))
    assert batch["label"].tolist() == [0, 0, 0, 0, 1] == data.labels(torch.arange(5)).tolist()
    assert batch["text"] == ["a cat sleeps"] * 3 + ["", "a dog runs"]
    assert data.left_out == ("1 clips have no words beside them: their caption is empty", "1 files that are not read as clips (1 .png)")
    assert clips(tmp_path, rate=12).left_out[-1].startswith("the times of 3 clips, numbered frames without any")
    assert clips(tmp_path, label="pets", rate=12).classes == ("pets",) and clips(tmp_path, labels=False).keys == ("text",)


def test_numbers_make_an_order():
    assert in_order(["a/f10.png", "a/f9.png", "a/f1.png"]) == ["a/f1.png", "a/f9.png", "a/f10.png"]
    for others in (["1.png", "2.jpg"], ["a1.png", "b2.png"], ["1.png"], ["x.png", "y.png"], ["1.png", "01.png"]):
        assert in_order(others) == []


def test_metadata_names_films_and_their_captions(tmp_path):
    animation(tmp_path / "a.gif", 9)
    folder(tmp_path / "b", 4)
    rows = ['{"file_name": "a.gif", "text": "it brightens", "label": "x"}', '{"file_name": "b", "text": "so does this", "label": "y"}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    data = clips(tmp_path)
    assert data.classes == ("x", "y") and data.take(torch.arange(3))["text"] == ["it brightens"] * 2 + ["so does this"]


def test_a_share_of_the_films_is_held_out_with_all_their_clips(tmp_path):
    for i in range(20):
        animation(tmp_path / f"{i}.gif", 8 + i % 2)
    train, test = (clips(tmp_path, held_out=0.3, split=split) for split in ("train", "test"))
    names = [set(data.base.listing.files) for data in (train, test)]
    assert not names[0] & names[1] and len(names[0] | names[1]) == 20 and len(train) + len(test) == 40
    for name in ("train", "test"):
        animation(tmp_path / f"both/{name}/{name}.gif", 8)
    assert [clips(tmp_path / "both", split=split).base.listing.root.name for split in ("train", "test")] == ["train", "test"]


def test_of_one_film_the_end_is_held_out(tmp_path):
    folder(tmp_path / "film", 24)
    for path in (tmp_path, tmp_path / "film"):
        train, test = (levels(clips(path, held_out=0.2, split=split)) for split in ("train", "test"))
        assert [first for first, *_ in train] == [0, 4, 8, 12, 16] and test == [[20, 21, 22, 23]]
    train, test = (levels(clips(tmp_path, held_out=0.1, hop=1, split=split)) for split in ("train", "test"))
    assert not {i for clip in train for i in clip} & {i for clip in test for i in clip} and len(test) == 2
    with pytest.raises(Problem, match="one example cannot be both learnt and held out"):
        clips(tmp_path, held_out=0.2, frames=24)


@pytest.mark.parametrize("memory", [True, False])
def test_all_frames_of_a_clip_are_mirrored_alike(tmp_path, memory):
    (tmp_path / "film").mkdir()
    half = np.zeros((8, 8), np.uint8)
    half[:, :4] = 255
    for i in range(24):
        Image.fromarray(half).save(tmp_path / f"film/{i}.png")
    batch = next(feed(clips(tmp_path, memory=memory), Plan(6, 64), flip=True))["x"]
    assert (batch == batch[:, :, :1]).all() and {float(x) for x in batch[:, 0, 0, 0, 0]} == {-1.0, 1.0}


def test_other_sizes_are_cropped_as_pictures_are(tmp_path):
    animation(tmp_path / "a.gif", 4)
    animation(tmp_path / "b.gif", 4, size=(30, 20))
    with pytest.raises(Problem, match=r"2 different sizes, from 12x8 to 30x20 .*data.size=64"):
        clips(tmp_path)
    assert clips(tmp_path, size=8).shape == (1, 4, 8, 8) and clips(tmp_path, size=[6, 8], fit="pad").shape == (1, 4, 6, 8)


def test_bad_films_are_counted_and_named(tmp_path):
    animation(tmp_path / "a.gif", 8)
    animation(tmp_path / "b.gif", 3)
    with pytest.raises(Problem, match=r"^1 of 2 clips are shorter than 4 frames \(b.gif: 3 frames\); lower data.frames=4, or set data.skip_broken=true$"):
        clips(tmp_path)
    with pytest.raises(Problem, match=r"2 of 2 clips are shorter than 4 frames \(a.gif: 2 frames; b.gif: 1 frames\); lower data.frames=4, or lower data.stride$"):
        clips(tmp_path, stride=4, skip_broken=True)
    (tmp_path / "c.gif").write_bytes((tmp_path / "a.gif").read_bytes()[:150])
    (tmp_path / "d.gif").write_text("no picture")
    with pytest.raises(Problem, match=r"2 of 4 clips cannot be read \(c.gif: .*; d.gif: it is no picture\); remove them, or set data.skip_broken=true"):
        clips(tmp_path)
    data = clips(tmp_path, skip_broken=True)
    assert len(data) == 2 and [line.split(" (")[0] for line in data.left_out] == [
        "2 clips are broken and skipped", "1 clips are shorter than 4 frames and skipped"]  # fmt: skip


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_pipes_are_not_waited_for(tmp_path, ending):
    animation(tmp_path / "a.gif")
    os.mkfifo(tmp_path / f"b.{ending}")
    assert len(clips(tmp_path, skip_broken=True)) == 2


@pytest.mark.parametrize("memory", [True, False])
def test_a_frame_that_cannot_be_decoded_is_named(tmp_path, memory):
    folder(tmp_path / "a", 4)
    folder(tmp_path / "b", 4)
    (tmp_path / "a/002.png").write_bytes((tmp_path / "a/002.png").read_bytes()[:40])
    with pytest.raises(Problem, match=r"a: 002.png: it is no picture"):
        levels(clips(tmp_path, memory=memory))
    data = clips(tmp_path, memory=memory, skip_broken=True)
    assert levels(data, [0] * 2) == [[0, 1, 2, 3]] * 2
    assert data.left_out == (("1 clips are broken and skipped (a: 002.png: it is no picture)",) if memory else ())


def test_films_of_other_speeds_are_said(tmp_path):
    animation(tmp_path / "a.gif", 8, 100)
    animation(tmp_path / "b.gif", 8, 40)
    data = clips(tmp_path)
    assert data.left_out == ("how fast each clip is: they have 10 to 25 frames a second; data.rate=25 brings them to one",)
    assert clips(tmp_path, rate=10, frames=3).left_out == ()


def test_what_streams_has_a_stamp_that_changes_with_a_frame(tmp_path):
    folder(tmp_path / "a", 4)
    data = clips(tmp_path, memory=False)
    before = data.stamp
    assert before == clips(tmp_path, memory=False).stamp != clips(tmp_path, memory=False, frames=2).stamp
    frame(9, (12, 8)).resize((12, 8)).save(tmp_path / "a/001.png", compress_level=0)
    assert before != data.stamp


@pytest.mark.parametrize(
    ("settings", "line"),
    [({"rate": 8, "stride": 2}, "say one of them"), ({"fit": "stretch"}, "no fit"), ({"label": "a", "labels": False}, "say one of them"), ({"size": 0}, "size is")],
)
def test_settings_that_cannot_be(tmp_path, settings, line):
    animation(tmp_path / "a.gif")
    with pytest.raises(Usage, match=line):
        clips(tmp_path, **settings)


def test_a_folder_without_clips_says_what_is_read(tmp_path):
    frame(1).save(tmp_path / "a.png")
    with pytest.raises(Problem, match=r"no clips in .*, only a.png and the like; animated gif, webp, .* are read, in sub-folders too"):
        clips(tmp_path)
