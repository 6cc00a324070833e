"""Parquet tables become folders of the same pictures, classes, captions and splits."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fromnoise.cli.main import app
from fromnoise.data import DATASETS
from fromnoise.data.files.parquet import split_of, unpack
from fromnoise.errors import Problem, Usage


def content(value, kind="PNG"):
    held = io.BytesIO()
    Image.fromarray(np.full((6, 5, 3), value, np.uint8)).save(held, kind)
    return held.getvalue()


def table(path, values, classes=("cat", "dog/wolf"), kind="PNG", **more):
    """As `datasets` writes them: pictures as bytes and a path, class numbers with their names in the schema."""
    pictures = [None if v is None else {"bytes": v if isinstance(v, bytes) else content(v, kind), "path": None} for v in values]
    columns = {"image": pictures, "label": [i % 2 for i in range(len(values))], **more}
    found = pa.table(columns)
    about = {"info": {"features": {"label": {"names": [*classes], "_type": "ClassLabel"}}}}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(found.replace_schema_metadata({"huggingface": json.dumps(about)}), path)
    return path


def test_a_table_becomes_a_folder_that_is_read_as_it_was(tmp_path):
    said = unpack(table(tmp_path / "a.parquet", [10, 20, 30, 40], caption=["a", "b\nb", "ü", "d"], id=[1, 2, 3, 4]), tmp_path / "out")
    assert said == [f"{tmp_path / 'out'}: 4 pictures", "not used: the column id"]
    data = DATASETS["folder"](str(tmp_path / "out"), held_out=0)
    batch = data.take(torch.arange(4))
    found = {text: (int(x.max()), data.classes[label]) for text, x, label in zip(batch["text"], batch["x"], batch["label"], strict=True)}
    assert found == {"a": (10, "cat"), "b\nb": (20, "dog_wolf"), "ü": (30, "cat"), "d": (40, "dog_wolf")}
    assert (tmp_path / "out/cat/a-000000.png").read_bytes() == content(10)


def test_splits_by_the_names_of_files(tmp_path):
    for name, values in (("data/train-00000-of-00002", [1, 2]), ("data/train-00001-of-00002", [3]), ("data/test-00000-of-00001", [4, 5])):
        table(tmp_path / f"in/{name}.parquet", values, kind="JPEG")
    assert unpack(tmp_path / "in", tmp_path / "out")[0].endswith("5 pictures (3 train, 2 test)")
    assert [len(DATASETS["folder"](str(tmp_path / "out"), split=split)) for split in ("train", "test")] == [3, 2]
    assert {file.suffix for file in (tmp_path / "out").rglob("*.*")} == {".jpg"} and not list((tmp_path / "out").rglob("metadata.jsonl"))


@pytest.mark.parametrize(
    ("name", "split"), [("train-0.parquet", "train"), ("contest.parquet", "train"), ("x/validation/0.parquet", "test"), ("test/train-00.parquet", "train")]
)
def test_the_split_of_a_name(tmp_path, name, split):
    assert split_of(tmp_path.__class__(name)) == split


def test_rows_without_a_picture_are_named_with_a_count(tmp_path):
    said = unpack(table(tmp_path / "a.parquet", [10, None, b"no picture"]), tmp_path / "out")
    assert said[0].endswith("1 pictures") and "2 rows that hold no picture (a.parquet row 1" in said[1]


@pytest.mark.parametrize(
    ("make", "options", "says"),
    [
        (lambda path: path.write_bytes(b"PAR1 and no more"), {}, "no parquet file, or cut short"),
        (lambda path: path.with_name("b.parquet").write_bytes(b""), {}, "no parquet file; name one"),
        (lambda path: pq.write_table(pa.table({"x": [1]}), path), {}, r"no column of pictures \(x\).*--image"),
        (lambda path: table(path, [b"a", b"b"]), {}, "none of the 2 pictures"),
        (lambda path: table(path, [1]), {"text": "words"}, "has no column 'words' for --text; it has image, label"),
    ],
)
def test_what_cannot_be_unpacked_leaves_nothing(tmp_path, make, options, says):
    make(tmp_path / "a.parquet")
    before = sorted(tmp_path.iterdir())
    with pytest.raises((Problem, Usage), match=says):
        unpack(tmp_path / "a.parquet", tmp_path / "out", **options)
    assert sorted(tmp_path.iterdir()) == before


def test_the_command_and_a_folder_that_is_there(tmp_path):
    source = str(table(tmp_path / "a.parquet", [10, 20]))
    found = CliRunner().invoke(app, ["data", "unpack", source, str(tmp_path / "out"), "--label", ""])
    assert found.exit_code == 0 and "2 pictures" in found.output and not (tmp_path / "out/cat").exists()
    again = CliRunner().invoke(app, ["data", "unpack", source, str(tmp_path / "out")])
    assert again.exit_code and "nothing is overwritten" in str(again.exception)
