"""A folder as its user lays it out: labels, captions, splits, sizes, and what is said when something is wrong."""

import json
import struct
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.data import DATASETS
from fromnoise.data.files.listing import score
from fromnoise.errors import Problem, Usage


def picture(path, seed=0, size=(8, 6), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], {"L": 1, "RGB": 3, "RGBA": 4}[mode])
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8).squeeze()).save(path)
    return path


def folder(path, **settings):
    return DATASETS["folder"](str(path), **{"held_out": 0.0, **settings})


def everything(data):
    return data.get(torch.arange(len(data)))


def rows(path, *entries):
    path.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries))


def refused(path, kind=Problem, **settings):
    with pytest.raises(kind) as caught:
        folder(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_flat_folders_have_no_labels(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.png", i)
    data = folder(tmp_path)
    assert (len(data), data.shape, data.keys, data.classes, data.name) == (3, (3, 6, 8), (), (), "folder")
    whole = np.asarray(Image.open(tmp_path / "1.png")).transpose(2, 0, 1) / 127.5 - 1
    assert np.allclose(everything(data)["x"][1], whole, atol=1e-6)


@pytest.mark.parametrize("prefix", ["", "images", "deep/down"])
@pytest.mark.parametrize("memory", [True, False])
def test_class_folders(tmp_path, prefix, memory):
    for i, name in enumerate(["dog", "cat", "dog", "ant/inner"]):
        picture(tmp_path / prefix / name / f"{i}.PNG", i)
    data = folder(tmp_path, memory=memory)
    assert data.classes == ("ant", "cat", "dog") and everything(data)["label"].tolist() == [0, 1, 2, 2]
    assert folder(tmp_path, labels=False).keys == ()


def test_hidden_files_and_other_files_are_not_seen(tmp_path):
    picture(tmp_path / "a/1.png"), picture(tmp_path / "b/2.png")
    for name in ("a/.DS_Store", "a/._1.png", "b/notes.txt", ".cache/3.png", "__MACOSX/a/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert len(folder(tmp_path)) == 2


def test_linked_folders_are_followed_and_loops_are_not(tmp_path):
    picture(tmp_path / "elsewhere/1.png"), picture(tmp_path / "set/b/2.png")
    (tmp_path / "set/a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/b/back").symlink_to(tmp_path / "set")
    assert folder(tmp_path / "set").classes == ("a", "b")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("memory", [True, False])
def test_metadata(tmp_path, form, memory):
    for i in range(3):
        picture(tmp_path / f"{i}.png", i)
    entries = [("2.png", "a dög", "dog"), ("0.png", "a cat", "cat"), ("2.png", "again, a dog", "dog")]
    if form == "jsonl":
        rows(tmp_path / "metadata.jsonl", *({"file_name": f, "text": t, "label": n} for f, t, n in entries), "")
    else:
        (tmp_path / "metadata.csv").write_text("file_name,text,label\n" + "\n".join(f'{f},"{t}",{n}' for f, t, n in entries))
    data = folder(tmp_path, memory=memory)
    batch = everything(data)
    assert data.keys == ("label", "text") and data.classes == ("cat", "dog")
    assert batch["text"] == ["a cat", "a dög", "again, a dog"] and batch["label"].tolist() == [0, 1, 1]
    assert torch.equal(batch["x"][1], batch["x"][2]) and not torch.equal(batch["x"][0], batch["x"][1])


def test_numbered_labels_and_captions_within_class_folders(tmp_path):
    for i, name in enumerate("ab"):
        picture(tmp_path / name / "1.png", i)
        rows(tmp_path / name / "metadata.jsonl", {"file_name": "1.png", "text": f"an {name}"})
    data = folder(tmp_path)
    assert data.classes == ("a", "b") and everything(data)["text"] == ["an a", "an b"]
    rows(tmp_path / "a/metadata.jsonl", {"file_name": "1.png", "label": 1})
    rows(tmp_path / "b/metadata.jsonl", {"file_name": "1.png", "label": 0})
    data = folder(tmp_path)
    assert data.classes == ("0", "1") and everything(data)["label"].tolist() == [1, 0]


def test_labels_with_gaps_are_numbered_alike_in_both_splits(tmp_path):
    for split, labels in {"train": [5, 30, 7], "test": [30, 7]}.items():
        for i in range(len(labels)):
            picture(tmp_path / split / f"{i}.png", i)
        rows(tmp_path / split / "metadata.jsonl", *({"file_name": f"{i}.png", "label": label} for i, label in enumerate(labels)))
    train, test = folder(tmp_path), folder(tmp_path, split="test")
    assert train.classes == test.classes == ("5", "7", "30")
    assert everything(train)["label"].tolist() == [0, 2, 1] and everything(test)["label"].tolist() == [2, 1]


@pytest.mark.parametrize("memory", [True, False])
def test_metadata_may_name_files_elsewhere(tmp_path, memory):
    picture(tmp_path / "elsewhere/1.png", 1), picture(tmp_path / "set/2.png", 2)
    names = ["../elsewhere/1.png", str(tmp_path / "elsewhere/1.png"), str(tmp_path / "set/2.png"), "2.png"]  # in their order
    rows(tmp_path / "set/metadata.jsonl", *({"file_name": name, "label": "a"} for name in names))
    x = everything(folder(tmp_path / "set", memory=memory))["x"]
    assert torch.equal(x[0], x[1]) and torch.equal(x[2], x[3]) and not torch.equal(x[1], x[2])


def test_blanks_in_a_csv(tmp_path):
    picture(tmp_path / "0.png"), picture(tmp_path / "1.png")
    (tmp_path / "metadata.csv").write_text("file_name , label\n0.png, cat \n1.png ,dog\n")
    assert folder(tmp_path).classes == ("cat", "dog")
    (tmp_path / "metadata.csv").write_text("file_name,label\n0.png,cat\n1.png, \n")
    assert "line 3: no label" in refused(tmp_path)


def test_a_csv_that_cannot_be_read(tmp_path):
    picture(tmp_path / "0.png")
    (tmp_path / "metadata.csv").write_text('file_name,text\n0.png,"' + "x" * 200_000)
    assert "metadata.csv line 2: " in refused(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,a cat, asleep\n")
    assert "line 2: more cells than columns; put a text with commas in quotes" in refused(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,a cat,,\n")
    assert everything(folder(tmp_path))["text"] == ["a cat"]


@pytest.mark.parametrize(
    "entries, words",
    [
        ([{"file_name": "absent.png", "text": "x"}], "line 1: absent.png does not exist"),
        ([{"file_name": "0.png", "text": "x"}, '{"file_name": '], "line 2: "),
        (["[1, 2]"], "no JSON object"),
        ([{"text": "x"}], "no file_name"),
        ([{"file_name": "0.png", "text": "x"}, {"file_name": "1.png"}], "line 2: no text"),
        ([{"file_name": "0.png", "label": "x"}, {"file_name": "1.png", "label": 3}], "all names, or all whole numbers"),
        ([{"file_name": "0.png", "label": -1}], "all names, or all whole numbers"),
        ([""], "is empty"),
    ],
)
def test_wrong_metadata(tmp_path, entries, words):
    picture(tmp_path / "0.png"), picture(tmp_path / "1.png")
    rows(tmp_path / "metadata.jsonl", *entries)
    assert words in refused(tmp_path)


def test_the_held_out_split_stays_when_files_are_added(tmp_path):
    for i in range(60):
        picture(tmp_path / f"{i}.png", i, (4, 4))

    def names(split):
        return set(folder(tmp_path, held_out=0.3, split=split, memory=False).base.listing.files)

    train, test = names("train"), names("test")
    assert not train & test and len(train | test) == 60 and 8 <= len(test) <= 30
    for i in range(60, 90):
        picture(tmp_path / f"{i}.png", i, (4, 4))
    assert train < names("train") and test < names("test")


def test_the_score_is_even():
    scores = np.array([score(f"{i}.png") for i in range(5000)])
    assert scores.min() >= 0 and scores.max() < 1
    assert np.abs(np.histogram(scores, 10, (0, 1))[0] - 500).max() < 120  # five standard deviations are 106
    assert 0 <= score("caf\udce9.png") < 1  # how Python spells a name that is not UTF-8


def test_small_sets_hold_out_one_picture(tmp_path):
    for i in range(2):
        picture(tmp_path / f"{i}.png", i)
    assert [len(folder(tmp_path, held_out=0.001, split=split)) for split in ("train", "test")] == [1, 1]
    said = refused(tmp_path, split="test")
    assert "raise data.held_out" in said and "train.held_out=0" in said


@pytest.mark.parametrize("held", ["test", "val"])
def test_folders_named_as_splits(tmp_path, held):
    for i, name in enumerate(["train/cat", "train/dog", "train/dog", f"{held}/dog"]):
        picture(tmp_path / name / f"{i}.png", i)
    train, test = folder(tmp_path), folder(tmp_path, split="test")
    assert train.classes == test.classes == ("cat", "dog") and len(train) == 3
    assert folder(tmp_path, split="test", labels=False).keys == ()
    assert len(test) == 1
    picture(tmp_path / held / "cow" / "9.png")
    assert "'cow'" in refused(tmp_path, split="test")


def test_a_test_folder_without_classes_is_refused(tmp_path):
    for i, name in enumerate(["train/cat", "train/dog", "test"]):
        picture(tmp_path / name / f"{i}.png", i)
    said = refused(tmp_path, split="test")
    assert f"{tmp_path / 'test'} have no classes" in said and "data.labels=false" in said
    assert len(folder(tmp_path, split="test", labels=False)) == 1
    (tmp_path / "test").rename(tmp_path.with_name("away"))
    assert folder(tmp_path, held_out=0.1, split="test").classes == ("cat", "dog")


def test_classes_of_the_test_folder_alone_are_dropped(tmp_path):
    for i, name in enumerate(["train", "test/cat", "test/dog"]):
        picture(tmp_path / name / f"{i}.png", i)
    test = folder(tmp_path, split="test")
    assert (len(test), test.keys, test.classes) == (2, (), ())


def test_mixed_sizes(tmp_path):
    picture(tmp_path / "a.png", size=(20, 30)), picture(tmp_path / "b.png", size=(64, 48))
    said = refused(tmp_path)
    assert "2 different sizes, from 20x30 to 64x48" in said and "data.size=" in said
    assert folder(tmp_path, size=16).shape == (3, 16, 16)
    assert folder(tmp_path, size=[16, 24], fit="pad").shape == (3, 16, 24)


@pytest.mark.parametrize("modes, channels", [(["L", "L"], 1), (["L", "RGB"], 3), (["L", "RGBA"], 4), (["RGBA", "RGB"], 4)])
def test_channels_as_the_files_are(tmp_path, modes, channels):
    for i, mode in enumerate(modes):
        picture(tmp_path / f"{i}.png", i, mode=mode)
    assert folder(tmp_path).shape == (channels, 6, 8)
    assert [folder(tmp_path, channels=name).shape[0] for name in ("grey", "rgb", "rgba")] == [1, 3, 4]


def test_one_deep_picture_makes_a_deep_set(tmp_path):
    picture(tmp_path / "a.png", mode="L")
    deep = np.random.default_rng(1).integers(0, 65536, (6, 8), np.uint16)
    Image.fromarray(deep).save(tmp_path / "b.png")
    for memory in (True, False):
        x = everything(folder(tmp_path, memory=memory))["x"]
        plain = np.asarray(Image.open(tmp_path / "a.png")) / 127.5 - 1
        assert np.abs(x[0, 0].numpy() - plain).max() < 1e-6
        assert np.abs((x[1, 0].double().numpy() + 1) / 2 * 65535 - deep).max() < 0.02


@pytest.mark.parametrize("memory", [True, False])
def test_pillow_does_not_warn_and_the_filters_stay(tmp_path, monkeypatch, memory):
    picture(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # fewer than 8 x 6: Pillow warns
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        everything(folder(tmp_path, memory=memory))
        assert warnings.filters == before and not [w for w in said if w.category is Image.DecompressionBombWarning]


@pytest.fixture
def damaged(tmp_path):
    """Eight pictures, of which two are none and two are cut short."""
    for i in range(8):
        picture(tmp_path / f"{i}.png", i, (32, 32))
    for name in "13":
        (tmp_path / f"{name}.png").write_text("just text")
    for name in "57":
        path = tmp_path / f"{name}.png"
        path.write_bytes(path.read_bytes()[:1500])
    return tmp_path


def test_broken_files_are_named(damaged):
    said = refused(damaged)
    assert "2 of 8" in said and "1.png: it is no picture" in said and "skip_broken=true" in said
    for name in "13":
        (damaged / f"{name}.png").unlink()
    said = refused(damaged)
    assert "2 of 6" in said and "5.png: it is cut short" in said


def test_broken_files_are_skipped_on_request(damaged):
    kept = folder(damaged, skip_broken=True)
    assert len(kept) == 4
    streamed = folder(damaged, skip_broken=True, memory=False)
    assert len(streamed) == 6 and streamed.base.listing.files[3] == "5.png"
    assert torch.equal(streamed.get(torch.tensor([3]))["x"], streamed.get(torch.tensor([4]))["x"])  # 6.png stands in for 5.png


def test_nothing_but_broken_files(tmp_path):
    (tmp_path / "a.png").write_text("no")
    assert "1 of 1" in refused(tmp_path, skip_broken=True)


def test_no_folder_and_no_pictures(tmp_path):
    assert "no such folder" in refused(tmp_path / "absent")
    (tmp_path / "file").write_text("x")
    assert "a file, not a folder" in refused(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "no pictures in" in refused(tmp_path / "empty")
    (tmp_path / "empty/sound.wav").write_text("x")
    assert "only sound.wav" in refused(tmp_path / "empty")


def test_a_loose_picture_beside_class_folders(tmp_path):
    picture(tmp_path / "cat/1.png"), picture(tmp_path / "dog/2.png"), picture(tmp_path / "cover.png")
    assert "cover.png" in refused(tmp_path) and "data.labels=false" in refused(tmp_path)
    assert len(folder(tmp_path, labels=False)) == 3


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"fit": "corp"}, "did you mean 'crop'"),
        ({"channels": "gray"}, "did you mean 'grey'"),
        ({"size": "big"}, "one side in pixels"),
        ({"size": 0}, "one side in pixels"),
        ({"size": [3, 4, 5]}, "one side in pixels"),
        ({"background": "wihte"}, "no colour"),
        ({"background": [300, 0, 0]}, "no colour"),
        ({"held_out": 1.5}, "from 0 to below 1"),
        ({"split": "valid"}, "no split"),
    ],
)
def test_wrong_settings(tmp_path, settings, words):
    picture(tmp_path / "a.png")
    assert words in refused(tmp_path, Usage, **settings)


def test_npz(tmp_path):
    images, labels = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), np.uint8), np.arange(40) % 4
    np.savez(tmp_path / "a.npz", images, labels)
    train, test = (DATASETS["npz"](str(tmp_path / "a.npz"), held_out=0.25, split=split) for split in ("train", "test"))
    assert (len(train), len(test), train.shape, test.classes) == (30, 10, (3, 6, 5), ("0", "1", "2", "3"))
    together = torch.cat([train.x, test.x]).permute(0, 2, 3, 1).flatten(1).tolist()
    assert sorted(together) == sorted(images.reshape(40, -1).tolist())
    for x, label in zip(test.x, test.label, strict=True):
        (where,) = np.flatnonzero((images == x.permute(1, 2, 0).numpy()).all((1, 2, 3)))
        assert labels[where] == label


def test_labels_of_an_npz_with_gaps(tmp_path):
    labels = np.array([9, 4] * 10 + [10**12])
    np.savez(tmp_path / "a.npz", np.zeros((21, 4, 4, 1), np.uint8), labels)
    train, test = (DATASETS["npz"](str(tmp_path / "a.npz"), held_out=0.25, split=split) for split in ("train", "test"))
    assert train.classes == test.classes == ("4", "9", "1000000000000")
    assert sorted(torch.cat([train.label, test.label]).tolist()) == [0] * 10 + [1] * 10 + [2]


def test_an_npz_with_damaged_parts(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, np.zeros((3, 4, 4, 1), np.uint8))
    whole = path.read_bytes()
    name, extra = struct.unpack("<HH", whole[26:30])
    for at, value in ((30 + name + extra, 255), (whole.index(b"PK\x01\x02") + 10, 99)):  # no block of deflate, no known compression
        path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
        with pytest.raises(Problem, match="cut short"):
            DATASETS["npz"](str(path))


@pytest.mark.parametrize("arrays", [{"x": np.zeros(3)}, {"arr_0": np.zeros((3, 4, 4, 3))}, {"arr_0": np.array([{}], dtype=object)}])
def test_an_npz_that_holds_something_else(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(Problem, match="a.npz"):
        DATASETS["npz"](str(tmp_path / "a.npz"))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:60])
    with pytest.raises(Problem, match="cut short"):
        DATASETS["npz"](str(tmp_path / "a.npz"))


def test_a_relative_path_may_lie_below_the_folder_of_data(tmp_path, monkeypatch):
    """As that of published sets does, where there is nothing of that name here."""
    for name, value in (("data/mine", 10), ("here/mine", 20)):
        (tmp_path / name).mkdir(parents=True)
        for i in range(3):
            Image.new("L", (4, 4), value).save(tmp_path / name / f"{i}.png")
    (tmp_path / "data/mine/lines.txt").write_text("one\ntwo\n")
    monkeypatch.setenv("FROMNOISE_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert DATASETS["folder"]("mine", held_out=0).take(torch.arange(1))["x"].max() == 10 and len(DATASETS["lines"]("mine", held_out=0)) == 2
    monkeypatch.chdir(tmp_path / "here")
    assert DATASETS["folder"]("mine", held_out=0).take(torch.arange(1))["x"].max() == 20
