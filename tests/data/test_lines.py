"""Text as its user has it: lines of files and captions, as bytes; what is left out is said, and what is wrong with the cure."""

import json

import pytest
import torch

from fromnoise.data import DATASETS
from fromnoise.data.files.lines import decoded, encoded, wrapped
from fromnoise.errors import Problem, Usage


def lines(path, **settings):
    return DATASETS["lines"](str(path), **{"length": 16, "held_out": 0.0, **settings})


def texts(data):
    return decoded(data.get(torch.arange(len(data)))["x"])


def test_a_line_is_its_bytes(tmp_path):
    (tmp_path / "a.txt").write_text("red fox\n\n  a  big\tcat \r\nÆøå\nred fox\n", encoding="utf-8-sig")
    data = lines(tmp_path / "a.txt")
    assert (data.name, data.shape, data.keys, data.medium, len(data)) == ("lines", (1, 16), (), "text", 3)
    x = data.get(torch.arange(3))["x"]
    assert x.dtype == torch.float32 and x.min() == -1
    assert ((x[0, 0] + 1) * 127.5).round().tolist() == [*b"red fox"] + [0] * 9
    assert texts(data) == ["red fox", "a big cat", "Æøå"] and data.left_out == ("1 lines that occur again",)


@pytest.mark.parametrize("text", ["", "a", "ein Bär", "日本語", "🙂 emoji", "x" * 16])
def test_bytes_come_back(text):
    assert decoded(encoded([text], 16).float() / 127.5 - 1) == [text]


def test_what_is_no_text_is_shown_as_such():
    """A letter cut in two, a byte that begins none, a line break and a byte 0 within."""
    found = encoded(["aé"], 2), torch.tensor([[[0xFF, 65]]], dtype=torch.uint8), encoded(["a\n"], 2), encoded(["a\0b"], 3)
    assert [decoded(x.float() / 127.5 - 1)[0] for x in found] == ["a\ufffd", "\ufffdA", "a\ufffd", "a"]
    assert decoded(torch.tensor([[[torch.nan, 9.0]]])) == [""]


def test_longer_lines_are_left_out_or_broken_at_words(tmp_path):
    (tmp_path / "a.txt").write_text("short\none two three four five six\nabcdefghijklmnopqrst it\n")
    (line,) = lines(tmp_path).left_out
    assert line.startswith("2 lines longer than 16 bytes (one two three fo") or line.startswith("2 lines longer than 16 bytes (one two three four f")
    assert "data.wrap=true" in line and "data.length=27 fits all" in line
    data = lines(tmp_path, wrap=True)
    assert texts(data) == ["short", "one two three", "four five six", "it"]
    assert data.left_out[0].startswith("1 lines longer than 16 bytes (abcdefghijklmnopqrst)")
    assert wrapped("ab cd ef", 5) == ["ab cd", "ef"] and wrapped("日本 語", 6) == ["日本", "語"]


def test_captions_of_a_folder_of_pictures_need_no_pictures(tmp_path):
    for name, rows in (("one", [{"file_name": "a.png", "text": "a cat"}, {"image": "b.png", "caption": ["a dog", "a cat"]}]), ("two", [{"text": "a tree"}])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "one" / "captions.csv").write_text("file_name,text\na.png,another\n")
    (tmp_path / "three.txt").write_text("a rose\n")
    (tmp_path / ".hidden.txt").write_text("a ghost\n")
    data = lines(tmp_path)
    assert texts(data) == ["a cat", "a dog", "a rose", "a tree"]
    labelled = lines(tmp_path, labels=True)
    assert labelled.classes == ("one", "three", "two") and labelled.labels(torch.arange(4)).tolist() == [0, 0, 1, 2]
    assert texts(lines(tmp_path / "one" / "metadata.jsonl")) == ["a cat", "a dog"]
    assert lines(tmp_path / "two", labels=True).classes == ()


def test_a_share_is_held_out_by_the_line_alone(tmp_path):
    whole = [f"line number {i}" for i in range(400)]
    (tmp_path / "a.txt").write_text("\n".join(whole + whole[:50]))
    train, test = (texts(lines(tmp_path, held_out=0.2, split=split)) for split in ("train", "test"))
    assert sorted(train + test) == sorted(whole) and 50 < len(test) < 110
    (tmp_path / "a.txt").write_text("\n".join(reversed(whole)))
    assert set(texts(lines(tmp_path, held_out=0.2, split="test"))) == {*test}
    (tmp_path / "a.txt").write_text("alpha\nbeta\n")
    assert len(lines(tmp_path, held_out=0.01, split="test")) == 1
    (tmp_path / "a.txt").write_text("\n".join(f"{i} one two three four five" for i in range(40)))
    parts = [{line.split()[0] for line in texts(lines(tmp_path, held_out=0.5, split=split, wrap=True)) if line[0].isdecimal()} for split in ("train", "test")]
    assert not parts[0] & parts[1]


def test_files_may_be_the_splits(tmp_path):
    (tmp_path / "train.txt").write_text("a\nb\nc\n")
    (tmp_path / "valid.txt").write_text("d\nb\n")
    assert texts(lines(tmp_path)) == ["a", "b", "c"]
    assert texts(lines(tmp_path, split="test")) == ["d"], "what is trained on is not held out"


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        (b"", {}, "is empty: it holds no line of text; write one example on each line"),
        (b" \n\n", {}, "is empty"),
        ("Bär".encode("latin-1"), {}, "a.txt is not UTF-8 text; save it as UTF-8"),
        ("abc".encode("utf-16-le"), {}, "a.txt is no text: it holds byte 0"),
        (b"one two\nthree four\n", {"length": 4}, "all 2 lines of .* are longer than 4 bytes; set data.length=10, or data.wrap=true"),
        (b"one\n", {"held_out": 0.5}, "one example cannot be both"),
        (b"one\n", {"split": "dev"}, "no split 'dev'"),
        (b"one\ntwo\n", {"held_out": 1.0}, "held_out is the share"),
    ],
)
def test_bad_text_is_named_with_the_cure(tmp_path, content, settings, says):
    (tmp_path / "a.txt").write_bytes(content)
    for path in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises((Problem, Usage), match=says) as caught:
            lines(path, **settings)
        assert "\n" not in str(caught.value)


def test_bad_places_are_named_with_the_cure(tmp_path):
    with pytest.raises(Problem, match="no such file or folder; set data.path"):
        lines(tmp_path / "none")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(Problem, match="no text in .*, only a.png and the like"):
        lines(tmp_path)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png"}')
    with pytest.raises(Problem, match="metadata.jsonl line 1: no text"):
        lines(tmp_path)
    (tmp_path / "metadata.jsonl").write_text('{"text": 7}')
    with pytest.raises(Problem, match="a caption is words in quotes, not 7"):
        lines(tmp_path)
