"""The layouts in which folders of pictures are handed on: splits below other folders, captions elsewhere, several to a picture."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.data import DATASETS
from fromnoise.data.inspect.inspect import inspect
from fromnoise.errors import Problem


def pictures(home, count=3, first=0):
    os.makedirs(home, exist_ok=True)
    for i in range(count):
        Image.fromarray(np.random.default_rng(first + i).integers(0, 256, (8, 8, 3), np.uint8)).save(home / f"{i}.png")


def folder(path, **settings):
    return DATASETS["folder"](str(path), **{"held_out": 0.0, **settings})


def everything(data):
    return data.get(torch.arange(len(data)))


def coco(images: dict[int, str], *said: tuple[int, str]) -> str:
    """A file of captions as COCO's data format has it: pictures by number, captions by the number of their picture."""
    document = {"info": {}, "images": [{"id": number, "file_name": name, "width": 8} for number, name in images.items()]}
    return json.dumps(document | {"annotations": [{"id": i, "image_id": number, "caption": text} for i, (number, text) in enumerate(said)]})


@pytest.mark.parametrize("home", ["train2017", "images/train2017", "images/train"])
def test_captions_of_coco(tmp_path, home):
    """Each caption makes an example, those of a picture that is not there are counted, and the two splits have their own."""
    held = home.replace("train", "val")
    pictures(tmp_path / home)
    pictures(tmp_path / held, 2, first=7)
    (tmp_path / "annotations").mkdir()
    said = [(12, "two, again"), (10, "zero"), (11, "one"), (12, "two"), (13, "gone")]
    (tmp_path / "annotations/captions_train2017.json").write_text(coco({10: "0.png", 11: "1.png", 12: "2.png", 13: "3.png"}, *said))
    (tmp_path / "annotations/captions_val2017.json").write_text(coco({5: "0.png", 6: "1.png"}, (6, "held one"), (5, "held zero")))
    (tmp_path / "annotations/instances_val2017.json").write_text("{}")
    train, test = folder(tmp_path), folder(tmp_path, split="test")
    assert everything(train)["text"] == ["zero", "one", "two, again", "two"] and everything(test)["text"] == ["held zero", "held one"]
    x = everything(train)["x"]
    assert torch.equal(x[2], x[3]) and torch.equal(x[:3], everything(DATASETS["folder"](str(tmp_path / home), held_out=0.0))["x"])
    assert train.left_out == ("1 rows of captions_train2017.json name pictures that are not there", "1 files that are not read as pictures (1 .json)")
    found = inspect(tmp_path)
    assert (found.count, found.held_out, len(found.captions), found.labels, found.left_out) == (3, 2, 4, {}, train.left_out)


@pytest.mark.parametrize("place", ["captions.json", "annotations/captions_mine.json"])
def test_captions_of_coco_without_splits(tmp_path, place):
    pictures(tmp_path / "images" if "/" in place else tmp_path)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(coco({1: "0.png", 2: "2.png"}, (2, "two"), (1, "zero")))
    data = folder(tmp_path)
    assert everything(data)["text"] == ["zero", "two"] and data.left_out == (f"1 pictures have no row in {os.path.basename(place)} and are not used",)


@pytest.mark.parametrize("key", ["text", "captions"])
def test_several_captions_in_one_row(tmp_path, key):
    """As Flickr30k's are; a picture is in one split with all of them."""
    pictures(tmp_path, 20)
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps({"file_name": f"{i}.png", key: [f"{i} once", f"{i} twice"]}) for i in range(20)))
    train, test = (everything(folder(tmp_path, split=split, held_out=0.3)) for split in ("train", "test"))
    assert sorted(train["text"] + test["text"]) == sorted(f"{i} {way}" for i in range(20) for way in ("once", "twice"))
    assert not {text.split()[0] for text in train["text"]} & {text.split()[0] for text in test["text"]}
    assert torch.equal(train["x"][::2], train["x"][1::2]) and inspect(tmp_path).count == 20 and not inspect(tmp_path).duplicates


def test_metadata_above_the_folder_of_pictures(tmp_path):
    """By bare names, where each is one picture's."""
    pictures(tmp_path / "Images")
    (tmp_path / "captions.csv").write_text("image;caption\n0.png;a cup, red\n1.png;a cat\n2.png;a dog\n")  # as Excel writes it where the comma is in numbers
    assert everything(folder(tmp_path))["text"] == ["a cup, red", "a cat", "a dog"]
    pictures(tmp_path / "more")
    with pytest.raises(Problem, match="line 2: 0.png does not exist"):
        folder(tmp_path)


@pytest.mark.parametrize("splits", [("train", "dev"), ("set/train", "set/test"), ("a/images/Train", "a/images/Val"), ("train2014", "val_2014")])
def test_splits_by_other_names_and_deeper(tmp_path, splits):
    for split in splits:
        pictures(tmp_path / split / "cat"), pictures(tmp_path / split / "dog", first=5)
    (tmp_path / "licence.txt").write_text("free")
    train, test = folder(tmp_path), folder(tmp_path, split="test")
    assert len(train) == len(test) == 6 and train.classes == test.classes == ("cat", "dog")
    assert train.left_out == ("1 files that are not read as pictures (1 .txt)",) == inspect(tmp_path).left_out


def test_a_link_back_brings_no_held_out_picture_into_training(tmp_path):
    pictures(tmp_path / "train"), pictures(tmp_path / "test", first=5)
    (tmp_path / "train/back").symlink_to(tmp_path)
    data = folder(tmp_path)
    assert len(data) == 3 and data.left_out == ("1 links to folders that are read already, or lie above (back)",)


def test_metadata_above_splits_that_names_none_of_their_pictures_is_named(tmp_path):
    pictures(tmp_path / "train"), pictures(tmp_path / "test")
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,a cup\n")
    name = "metadata.csv, which names none of the pictures in"
    assert folder(tmp_path).left_out == (f"{name} train", f"test: {name} test") and folder(tmp_path).keys == ()


def test_an_npz_whose_channels_come_first_and_arrays_that_are_not_used(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", rng.integers(0, 256, (9, 3, 8, 8), np.uint8))
    for look in (inspect, DATASETS["npz"]):
        with pytest.raises(Problem, match=r"its channels first; they come last: save images.transpose\(0, 2, 3, 1\)"):
            look(str(tmp_path / "a.npz"))
    np.savez(tmp_path / "b.npz", rng.integers(0, 256, (9, 8, 8, 3), np.uint8), arr_1=np.arange(9), names=np.arange(9))
    assert DATASETS["npz"](str(tmp_path / "b.npz")).left_out == ("1 arrays of b.npz are not used (names)",) == inspect(tmp_path / "b.npz").left_out
