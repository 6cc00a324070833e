"""Pairs of pictures: known pixels come out where they belong, cut and mirrored alike; what does not match is named."""

from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.data import DATASETS, Plan, feed
from fromnoise.errors import Problem, Usage

pairs = DATASETS["pairs"]


def ramp(i, width=6, height=4, channels=3):
    """Picture i: every pixel says where it is, and whose."""
    rows, columns = np.mgrid[:height, :width]
    planes = [np.full((height, width), 10 * i), 20 * rows, 20 * columns][:channels]
    return np.stack(planes, -1).astype(np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)


@pytest.fixture
def folders(tmp_path):
    """Twelve pairs, the input with every number turned round, and of one channel."""
    for i in range(12):
        save(tmp_path / "out" / f"{i:02}.png", ramp(i))
        save(tmp_path / "in" / f"{i:02}.png", 255 - ramp(i, channels=1))
    return tmp_path


@pytest.mark.parametrize("memory", [True, False])
def test_two_folders_by_name(folders, memory):
    train, test = (pairs(str(folders), image="in", target="out", memory=memory, held_out=0.3, split=split) for split in ("train", "test"))
    assert len(train) + len(test) == 12 and len(test) > 0 and train.in_memory == memory
    assert train.shape == (3, 4, 6) and train.image_shape == (1, 4, 6) and train.keys == ("image",)
    seen = []
    for data in (train, test):
        batch = data.take(torch.arange(len(data)))
        assert batch["x"].dtype == batch["image"].dtype == torch.uint8
        assert torch.equal(batch["x"][:, :1], 255 - batch["image"]), "each input is its target's own"
        seen += (batch["x"][:, 0, 0, 0] // 10).tolist()
    assert sorted(seen) == list(range(12))
    assert torch.allclose(train.get(torch.tensor([0]))["image"], -train.get(torch.tensor([0]))["x"][:, :1])


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize(("half", "axis"), [("left", -1), ("right", -1), ("top", -2), ("bottom", -2)])
def test_halves_of_one_picture(tmp_path, half, axis, memory):
    for i in range(6):
        save(tmp_path / f"{i}.png", ramp(i, 7, 5))  # odd sides: the middle is of neither half
    data = pairs(str(tmp_path), halves=half, memory=memory, held_out=0)
    batch, whole = data.take(torch.arange(6)), torch.stack([torch.from_numpy(ramp(i, 7, 5)).movedim(-1, 0) for i in range(6)])
    side = whole.shape[axis]
    first, second = whole.narrow(axis, 0, side // 2), whole.narrow(axis, side - side // 2, side // 2)
    image, x = (first, second) if half in ("left", "top") else (second, first)
    assert torch.equal(batch["image"], image) and torch.equal(batch["x"], x)


def test_halves_keep_all_of_sixteen_bits(tmp_path):
    values = np.arange(48, dtype=np.uint16).reshape(4, 12) * 1000 + 7
    for i in range(3):
        Image.fromarray(values + i).save(tmp_path / f"{i}.png")
    batch = pairs(str(tmp_path), halves="left", held_out=0).get(torch.tensor([1]))
    wanted = torch.from_numpy((values + 1).astype(np.float64) / 32767.5 - 1)
    for key, part in (("image", wanted[:, :6]), ("x", wanted[:, 6:])):
        assert torch.allclose(batch[key][0, 0].double(), part, atol=1e-5)


def test_both_are_brought_to_one_size_and_cut_alike(tmp_path):
    """The inputs are twice as large: a crop of the middle then shows the same part."""
    for i in range(2):
        save(tmp_path / "x" / f"{i}.png", ramp(i, 12, 4))
        save(tmp_path / "y" / f"{i}.jpg" if i else tmp_path / "y" / f"{i}.png", np.kron(ramp(i, 12, 4), np.ones((2, 2, 1), np.uint8)))
    batch = pairs(str(tmp_path), image="y", target="x", size=4, held_out=0).take(torch.arange(2))
    assert batch["x"].shape == batch["image"].shape == (2, 3, 4, 4)
    assert (batch["x"][0].int() - batch["image"][0].int()).abs().max() <= 4 and batch["x"][0, 2, 0].tolist() == [80, 100, 120, 140]


def test_labels_captions_and_splits_are_the_targets(tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        for i in range(count):
            for name in "xy":
                save(tmp_path / name / split / "ab"[i % 2] / f"{i}.png", ramp(i))
    train, test = (pairs(str(tmp_path), image="y", target="x", split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (4, 2) and train.classes == ("a", "b") and train.keys == ("label", "image")
    batch = test.take(torch.arange(2))
    assert torch.equal(batch["x"], batch["image"]) and batch["label"].tolist() == [0, 1]


@pytest.mark.parametrize("memory", [True, False])
def test_both_of_a_pair_are_mirrored_or_neither(folders, memory):
    data = pairs(str(folders), image="in", target="out", held_out=0, memory=memory)
    turned = 0
    for batch in islice(feed(data, Plan(12, 12), flip=True), 30):
        assert torch.allclose(batch["x"][:, :1], -batch["image"])
        mirrored = batch["x"][:, 2, 0, 0] > batch["x"][:, 2, 0, -1]  # the third channel grows from left to right
        turned += int(mirrored.sum())
    assert 120 < turned < 240  # 360 coins: six standard deviations


def gone(folders):
    for name in ("out/03.png", "in/05.png", "in/06.png", "in/07.png", "in/08.png"):
        (folders / name).unlink()


def twice(folders):
    save(folders / "in" / "03.jpg", ramp(3))


def smaller(folders):
    for i in (2, 9):
        save(folders / "in" / f"{i:02}.png", ramp(i, 3, 2))


def wider(folders):
    save(folders / "in" / "02.png", ramp(2, 9, 4))


def torn(folders):
    (folders / "in" / "04.png").write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("change", "settings", "says"),
    [
        (gone, {}, r"4 only in .*out \(05.png, 06.png, 07.png, …\), 1 only in .*in \(03.png\)"),
        (twice, {}, "holds both 03.* and 03.*keep one"),
        (smaller, {}, r"2 of 12 targets differ from their inputs in size \(02.png: 6x4 from 3x2, 09.png: .*data.size=64"),
        (wider, {"size": 4}, r"1 of 12 targets differ from their inputs in shape \(02.png: 6x4 from 9x4\).*data.fit=resize"),
        (torn, {}, "1 of 12 pictures cannot be read .*04.png: it is no picture.*; remove them$"),
    ],
)
def test_pairs_that_do_not_match_are_named_in_one_line(folders, change, settings, says):
    change(folders)
    with pytest.raises(Problem, match=says) as caught:
        pairs(str(folders), image="in", target="out", **settings)
    assert "\n" not in str(caught.value)


def test_other_sizes_and_shapes_are_fine_where_it_is_said_what_becomes_of_them(folders):
    smaller(folders)
    assert pairs(str(folders), image="in", target="out", size=4).shape == (3, 4, 4)
    wider(folders)
    assert pairs(str(folders), image="in", target="out", size=4, fit="resize").image_shape == (3, 4, 4)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "data.image=INPUTS data.target=TARGETS"),
        ({"image": "in"}, "data.image=INPUTS data.target=TARGETS"),
        ({"image": "in", "target": "out", "halves": "left"}, "two folders .* or halves"),
        ({"image": "in", "target": "out", "image_channels": "gray"}, "did you mean 'grey'"),
        ({"image": "in", "target": "out", "held_out": 1}, "from 0 to below 1"),
        ({"image": "inn", "target": "out"}, "inn: no such folder"),
        ({"image": "in", "target": "outt"}, "outt: no such folder"),
    ],
)
def test_wrong_settings(folders, settings, says):
    with pytest.raises(Problem, match=says):
        pairs(str(folders), **settings)
    with pytest.raises(Usage):
        pairs(str(folders))
