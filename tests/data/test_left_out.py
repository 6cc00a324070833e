"""Nothing that lies in a folder disappears without a word: what can be read is read, the rest is named with a count."""

import io
import json
import os
import unicodedata

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from fromnoise import config
from fromnoise.data import DATASETS, Plan, feed
from fromnoise.data.files.listing import score
from fromnoise.data.inspect.inspect import inspect
from fromnoise.data.inspect.propose import propose
from fromnoise.data.inspect.report import report
from fromnoise.errors import Problem, Usage
from fromnoise.progress import console


def picture(path, seed=0, **how):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(path, **how)


def folder(path, **settings):
    return DATASETS["folder"](str(path), **{"held_out": 0.0, **settings})


def everything(data):
    return data.get(torch.arange(len(data)))


def rows(path, *entries):
    path.write_text("\n".join(map(json.dumps, entries)))


@pytest.mark.parametrize("ending", [".txt", ".caption"])
@pytest.mark.parametrize("memory", [True, False])
def test_captions_beside_pictures(tmp_path, ending, memory):
    for i, name in enumerate(["a/1.png", "a/2.jpg", "b/1.png"]):
        picture(tmp_path / name, i)
    (tmp_path / f"a/1{ending}").write_text("one,\nof a")
    (tmp_path / f"b/1{ending}").write_text("one of b")
    data = folder(tmp_path, memory=memory)
    assert everything(data)["text"] == ["one, of a", "", "one of b"] and data.classes == ("a", "b")
    assert data.left_out == ("1 pictures have no words beside them: their caption is empty",)


def test_a_text_of_one_picture_among_many_is_no_caption(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.png", i)
    (tmp_path / "0.txt").write_text("a note")
    data = folder(tmp_path)
    assert data.keys == () and data.left_out == ("1 texts beside pictures are not taken for captions, since most pictures have none",)


NAMED = [{"file_name": f"{i}.png", "caption": f"number {i}"} for i in range(3)]
DOCUMENTS = {
    "metadata.json": "\n".join(map(json.dumps, NAMED)),  # lines under the wrong ending
    "captions.json": json.dumps({f"{i}.png": f"number {i}" for i in range(3)}),
    "Captions.JSON": json.dumps([{"image": f"{i}.png", "prompt": f"number {i}"} for i in range(3)]),
    "captions.csv": "filename,prompt\n" + "\n".join(f"{i}.png,number {i}" for i in range(3)),
    "captions.jsonl": "\n".join(map(json.dumps, NAMED)),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_captions_under_other_common_names(tmp_path, name):
    for i in range(3):
        picture(tmp_path / f"{i}.png", i)
    (tmp_path / name).write_text(DOCUMENTS[name])
    assert everything(folder(tmp_path))["text"] == ["number 0", "number 1", "number 2"]


def test_what_of_the_metadata_is_not_used_is_named(tmp_path):
    for i in range(4):
        picture(tmp_path / f"{i}.png", i)
    rows(tmp_path / "metadata.jsonl", *({**row, "score": 3, "label": "x"} for row in NAMED))
    (tmp_path / "captions.json").write_text("{}")
    (tmp_path / "metadata.json").write_text('{"licence": "CC0"}')  # no picture's
    assert folder(tmp_path).left_out == (
        "1 pictures have no row in metadata.jsonl and are not used",
        "1 columns of metadata.jsonl are not used (score)",
        "2 files that are not read as pictures (2 .json)",
    )


@pytest.mark.parametrize("text", [3, ["a cat", 3], [], {"en": "a cat"}, True])
def test_captions_are_words(tmp_path, text):
    picture(tmp_path / "0.png")
    rows(tmp_path / "metadata.jsonl", {"file_name": "0.png", "text": text})
    with pytest.raises(Problem, match="line 1: a caption is words"):
        folder(tmp_path)


@pytest.mark.parametrize("splits", [("train", "test"), ("Train", "Test"), ("training", "testing"), ("TRAIN", "Val")])
@pytest.mark.parametrize("above", [True, False])
def test_folders_of_splits_and_metadata_above_them(tmp_path, splits, above):
    named = {split: [f"{split}/{i}.png" if above else f"{split}/{'ab'[i % 2]}/{i}.png" for i in range(n)] for split, n in zip(splits, (4, 2), strict=True)}
    for i, name in enumerate(named[splits[0]] + named[splits[1]]):
        picture(tmp_path / name, i)
    if above:
        rows(tmp_path / "metadata.jsonl", *({"file_name": name, "text": name, "label": "ab"[i % 2]} for own in named.values() for i, name in enumerate(own)))
    for split, name in zip(("train", "test"), splits, strict=True):
        data = folder(tmp_path, split=split)
        assert everything(data)["label"].tolist() == ([0, 1, 0, 1] if above else [0, 0, 1, 1])[: len(data)] if split == "train" else [0, 1]
        assert len(data) == len(named[name]) and data.classes == ("a", "b") and data.left_out == ()
        assert not above or everything(data)["text"] == named[name]


def test_folders_beside_the_splits_are_named(tmp_path):
    for i, name in enumerate(["train/a", "train/b", "test/a", "validation/a", "validation/b", "more"]):
        picture(tmp_path / name / "0.png", i)
    (tmp_path / "test/a/x.heic").write_bytes(b"0")
    lines = ("test: 1 files that are not read as pictures (1 .heic)", "3 pictures are neither in train nor in test (more, validation)")
    assert folder(tmp_path).left_out == lines == inspect(tmp_path).left_out


def test_kinds_of_files_that_are_read_and_those_that_are_not(tmp_path):
    for i, (name, kind) in enumerate([("cat/a.jfif", "JPEG"), ("cat/b.JPE", "JPEG"), ("cat/c.ppm", "PPM"), ("dog/d.jp2", "JPEG2000")]):
        picture(tmp_path / name, i, format=kind)
    (tmp_path / "cow").mkdir()
    for name in ("cow/IMG_1.HEIC", "cow/IMG_2.heic", "cat/README"):
        (tmp_path / name).write_bytes(b"0")
    data = folder(tmp_path)
    assert len(data) == 4 and data.classes == ("cat", "dog")
    assert data.left_out == ("3 files that are not read as pictures (2 .heic, 1 README)", "1 folders hold no pictures that are read (cow)")
    moved = next(feed(data.to("cpu"), Plan(4, 2)))
    assert len(moved["x"]) == 2 and data.to("meta").left_out == data.left_out  # a set on the device still knows


def test_pages_of_stacks_are_counted(tmp_path):
    pages = [Image.fromarray(np.full((8, 8), 9 * i, np.uint8)) for i in range(5)]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "b.gif", save_all=True, append_images=pages[1:3])
    pages[0].save(tmp_path / "c.png")
    whole = (tmp_path / "a.tiff").read_bytes()
    (tmp_path / "d.tiff").write_bytes(whole[: 2 * len(whole) // 5])  # its first page is whole
    lines = ("7 pages after the first of 3 stacks or films are not read",)
    assert folder(tmp_path, channels="grey").left_out == lines == inspect(tmp_path).left_out


def test_broken_pictures_that_are_skipped_are_counted(tmp_path):
    """Without a header; cut short behind it, which is seen while decoding; and what would wait for ever, or leads nowhere."""
    for i in range(3):
        picture(tmp_path / f"{i}.png", i)
    (tmp_path / "3.png").write_text("x")
    picture(tmp_path / "4.bmp")
    (tmp_path / "4.bmp").write_bytes((tmp_path / "4.bmp").read_bytes()[:100])
    os.mkfifo(tmp_path / "5.png")
    (tmp_path / "6.png").symlink_to(tmp_path / "6.png")
    assert folder(tmp_path, skip_broken=True).left_out == (
        "3 pictures are broken and skipped (3.png: it is no picture; 5.png: it is no file; 6.png: too many levels of symbolic links)",
        "1 pictures are broken and skipped (4.bmp: it is cut short or damaged)",
    )
    assert len(inspect(tmp_path).broken) == 4


def test_a_picture_that_fails_while_it_is_streamed_is_named_once(tmp_path, capfd):
    picture(tmp_path / "0.bmp", 0), picture(tmp_path / "1.bmp", 1)
    (tmp_path / "1.bmp").write_bytes((tmp_path / "1.bmp").read_bytes()[:100])
    data = folder(tmp_path, skip_broken=True, memory=False)
    for _ in range(2):
        x = everything(data)["x"]
        assert torch.equal(x[0], x[1])
    assert capfd.readouterr().err == "left out: 1.bmp: it is cut short or damaged\n"


def test_what_is_held_out_is_chosen_among_what_can_be_read(tmp_path):
    names = sorted((f"{i}.png" for i in range(6)), key=score)
    (tmp_path / names[0]).write_text("x")
    for i, name in enumerate(names[1:]):
        picture(tmp_path / name, i)
    held = folder(tmp_path, held_out=1e-9, split="test", skip_broken=True)
    assert torch.equal(everything(held)["x"], everything(folder(tmp_path, skip_broken=True))["x"][[sorted(names[1:]).index(names[1])]])


def test_broken_pictures_and_stacks_of_a_test_folder_are_counted(tmp_path):
    for i, name in enumerate(["train/a/0.png", "train/a/1.png", "test/a/0.png"]):
        picture(tmp_path / name, i)
    (tmp_path / "test/a/1.png").write_text("x")
    pages = [Image.new("RGB", (8, 8), (9 * i, 0, 0)) for i in range(3)]
    pages[0].save(tmp_path / "test/a/2.tiff", save_all=True, append_images=pages[1:])
    lines = ("test: 2 pages after the first of 1 stacks or films are not read", "test: 1 pictures are broken and skipped (a/1.png: it is no picture)")
    held, found = folder(tmp_path, split="test", skip_broken=True), inspect(tmp_path)
    assert len(held) == 2 and held.left_out == lines
    assert found.left_out == lines[:1] and found.broken == (("test/a/1.png", "it is no picture"),) and found.held_out == 2


def test_classes_that_are_only_held_out_are_named(tmp_path):
    names = [f"{i}.png" for i in range(200)]
    for i, name in enumerate(names[:6]):
        picture(tmp_path / "cat" / name, i)
    rare = min(names, key=lambda name: score(f"dog/{name}"))  # 0.005 or so: held out at 0.05
    picture(tmp_path / "dog" / rare, 9)
    data = folder(tmp_path, held_out=0.05)
    assert data.left_out == ("1 classes are held out whole, and not trained on (dog)",) == inspect(tmp_path).left_out


def test_one_picture_is_refused_where_training_would_refuse_it(tmp_path):
    picture(tmp_path / "one.png")
    for look in (inspect, lambda path: folder(path, held_out=0.05, split="test")):
        with pytest.raises(Problem, match="both learnt and held out; add more, or"):
            look(tmp_path)
    assert len(folder(tmp_path)) == 1  # what the message says
    np.savez(tmp_path / "a.npz", np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(Problem, match="both learnt and held out"):
        inspect(tmp_path / "a.npz")


def test_numbers_in_class_names_are_in_order(tmp_path):
    for i, name in enumerate(["11", "2", "10", "1", "3"]):
        picture(tmp_path / "a" / name / "0.png", i)
        picture(tmp_path / "b" / f"part {name}" / "0.png", i)
    assert folder(tmp_path / "a").classes == ("1", "2", "3", "10", "11")
    assert folder(tmp_path / "b").classes == ("part 1", "part 2", "part 3", "part 10", "part 11")
    rows(tmp_path / "a/metadata.jsonl", *({"file_name": f"{name}/0.png", "label": f"v{name}"} for name in (1, 10, 2)))
    assert folder(tmp_path / "a").classes == ("v1", "v2", "v10")


def test_hidden_ones_links_that_come_back_and_closed_folders_are_named(tmp_path, monkeypatch):
    for i, name in enumerate(["a/0.png", "b/0.png", "a/.1.png", ".old/0.png", "__MACOSX/a/._0.png", "a/@eaDir/0.png/x.png", "shut/0.png"]):
        picture(tmp_path / name, i)
    (tmp_path / "a/.DS_Store").write_text("x")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)  # the tests' own user may be one who reads everything
    lines = (
        "4 hidden files and folders are not looked into (.old, __MACOSX, a/.1.png, a/@eaDir)",
        "1 links to folders that are read already, or lie above (c)",
        "1 folders may not be read (shut)",
    )
    assert folder(tmp_path).left_out == lines == inspect(tmp_path).left_out[:3] and folder(tmp_path).classes == ("a", "b")


def test_where_no_picture_is_seen_what_is_not_looked_into_is_named(tmp_path):
    picture(tmp_path / ".photos/0.png")
    with pytest.raises(Problem, match=r"no pictures in .*; 1 hidden files and folders are not looked into \(.photos\); "):
        folder(tmp_path)


def test_what_pairs_leave_out_is_named_on_both_sides_and_beside(tmp_path):
    for i, name in enumerate(["in/0", "in/1", "out/0", "out/1", "masks/0", "out/.old/0"]):
        picture(tmp_path / f"{name}.png", i)
    for name in ("in/a.heic", "in/0.txt", "out/b.psd", "readme.md"):
        (tmp_path / name).write_bytes(b"0")
    pages = [Image.new("RGB", (8, 8), (9 * i, 0, 0)) for i in range(3)]
    pages[0].save(tmp_path / "in/2.tiff", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "out/2.png")
    assert DATASETS["pairs"](str(tmp_path), image="in", target="out", held_out=0.0).left_out == (
        "1 files that are not read as pictures (1 .psd)",
        "1 hidden files and folders are not looked into (.old)",
        "in: 2 files that are not read as pictures (1 .heic, 1 .txt)",
        "in: 2 pages after the first of 1 stacks or films are not read",
        "1 pictures are neither in in nor in out (masks)",
        "1 files that are not read as pictures (1 .md)",
    )


def test_folders_within_class_folders_are_named(tmp_path):
    for i, name in enumerate(["cat/0", "dog/old/1", "dog/new/2", "dog/new/3"]):
        picture(tmp_path / f"{name}.png", i)
    lines = ("2 folders within class folders are no classes of their own (dog/new, dog/old)",)
    assert folder(tmp_path).left_out == lines and folder(tmp_path).classes == ("cat", "dog")


def test_names_in_any_unicode_form(tmp_path):
    composed, apart = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    assert composed != apart and score(composed) == score(apart)
    picture(tmp_path / "one" / apart)
    picture(tmp_path / "two" / composed)
    for home, name in (("one", composed), ("two", apart)):
        rows(tmp_path / home / "metadata.jsonl", {"file_name": name, "text": "a cup"})
        assert everything(folder(tmp_path / home))["text"] == ["a cup"]
        (tmp_path / home / "metadata.jsonl").unlink()
        (tmp_path / home / name.replace("png", "txt")).write_text("a cup")
        assert everything(folder(tmp_path / home))["text"] == ["a cup"]
    assert len(DATASETS["pairs"](str(tmp_path), image="one", target="two", held_out=0.0)) == 1


def test_names_that_are_not_utf8(tmp_path):
    home = os.fsencode(tmp_path / "set")
    for i, name in enumerate([b"caf\xe9", b"th\xe9", b"tea"]):
        picture(os.fsdecode(os.path.join(home, name, b"\xe9.png")), i)
    data = folder(tmp_path / "set")
    assert data.classes == (r"caf\udce9", "tea", r"th\udce9")
    for name in data.classes:
        name.encode()  # can be written anywhere
    propose(inspect(tmp_path / "set"), 10.0, lambda *given: 100.0).encode()


def test_a_long_comment_is_no_damage(tmp_path):
    said = PngImagePlugin.PngInfo()
    said.add_itxt("workflow", "x" * 2_000_000, zip=True)
    said.add_text("parameters", "y" * 70_000_000)
    picture(tmp_path / "a.png", pnginfo=said)
    assert folder(tmp_path).shape == (3, 8, 8)


@pytest.mark.parametrize("text", ["[/INST] a cat", "a photo of [v] dog", "a :smile: [bold]face[/bold]", "[link=x]", "\\[v]"])
def test_words_are_shown_as_they_are(tmp_path, text):
    for i in range(3):
        picture(tmp_path / "cats [old]" / f"{i}.png", i)
        picture(tmp_path / "[x] :cat:" / f"{i}.png", 9 + i)
    for name in ("cats [old]", "[x] :cat:"):
        rows(tmp_path / name / "metadata.jsonl", *({"file_name": f"{i}.png", "text": text} for i in range(3)))
    out = io.StringIO()
    report(tmp_path, 10.0, lambda *given: 100.0, console(file=out, width=200))
    assert f"such as {text!r}" in out.getvalue() and "2 classes: [x] :cat: 3, cats [old] 3" in out.getvalue()


def test_a_folder_whose_own_name_is_not_utf8_is_refused_in_one_line(tmp_path):
    home = os.fsdecode(os.fsencode(tmp_path) + b"/ph\xe9")
    for i in range(3):
        picture(os.path.join(home, f"{i}.png"), i)
    for look in (inspect, lambda path: config.Recipe.of({"data": {"name": "folder", "path": path}})):
        with pytest.raises(Usage, match="is not UTF-8 text, as recipes are; rename it"):
            look(home)
