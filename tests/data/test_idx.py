"""idx files as LeCun's page describes them, where they are found, and what is said of damaged ones."""

import gzip
import struct

import numpy as np
import pytest

from fromnoise.data import DATASETS
from fromnoise.data.sets.idx import read
from fromnoise.errors import Problem


def images(n=6, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28), np.uint8)


def idx(array):
    """The format, written from its description: two zeros, the type, the number of dimensions, each in four bytes, the data."""
    kind = {"uint8": 0x08, "int16": 0x0B, "float32": 0x0D}[array.dtype.name]
    head = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(folder, prefix="train", n=6, labels=None, gz=True, dot=False):
    folder.mkdir(parents=True, exist_ok=True)
    for what, array in (("images-idx3", images(n)), ("labels-idx1", np.arange(n if labels is None else labels, dtype=np.uint8) % 10)):
        name = f"{prefix}-{what.replace('-idx', '.idx') if dot else what}-ubyte"
        (folder / (name + (".gz" if gz else ""))).write_bytes(gzip.compress(idx(array)) if gz else idx(array))


@pytest.mark.parametrize("array", [images(), np.arange(-3, 4, dtype=np.int16), np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)])
def test_read(tmp_path, array):
    for name, raw in (("plain", idx(array)), ("packed.gz", gzip.compress(idx(array)))):
        (tmp_path / name).write_bytes(raw)
        assert np.array_equal(read(tmp_path / name), array)


@pytest.mark.parametrize("layout", ["", "raw", "mnist", "mnist/raw", "MNIST/raw", "MNIST"])
@pytest.mark.parametrize("gz, dot", [(True, False), (False, False), (False, True)])
def test_found_in_every_layout(tmp_path, layout, gz, dot):
    write(tmp_path / layout, gz=gz, dot=dot)
    data = DATASETS["mnist"](root=str(tmp_path))
    assert np.array_equal(data.x[:, 0].numpy(), images()) and data.label.tolist() == list(range(6))
    assert data.classes == tuple("0123456789")


@pytest.mark.parametrize("layout", ["FashionMNIST/raw", "fashion_mnist", "fashion_mnist/raw"])
def test_fashion_and_mnist_live_side_by_side(tmp_path, monkeypatch, layout):
    write(tmp_path / "MNIST/raw", n=4)
    write(tmp_path / layout, n=5)
    monkeypatch.setenv("FROMNOISE_DATA", str(tmp_path))
    assert (len(DATASETS["mnist"]()), len(DATASETS["fashion_mnist"]())) == (4, 5)
    assert DATASETS["fashion_mnist"]().classes[0] == "t-shirt"


def test_the_test_split(tmp_path):
    write(tmp_path, n=6)
    write(tmp_path, "t10k", n=3)
    assert len(DATASETS["mnist"](root=str(tmp_path), split="test")) == 3


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda raw: raw[:-1], "cut short: .* of"),
        (lambda raw: raw[:9], "cut short"),
        (lambda raw: raw + b"x", "header says"),
        (lambda raw: b"", "no idx file"),
        (lambda raw: b"<html>no such page</html>", "no idx file"),
        (lambda raw: gzip.compress(raw)[:-20], "cut short"),
        (lambda raw: bytes([0, 0, 8, 1]) + raw[4:8] + bytes(6), "not grey images"),
    ],
)
def test_damaged_files_name_the_cure(tmp_path, damage, words):
    write(tmp_path, gz=False)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Problem, match=words) as caught:
        DATASETS["mnist"](root=str(tmp_path))
    assert str(path) in str(caught.value) and "fetch" in str(caught.value) and "\n" not in str(caught.value)


def test_images_and_labels_must_agree(tmp_path):
    write(tmp_path, n=6, labels=5)
    with pytest.raises(Problem, match="6 images, but .* 5 labels"):
        DATASETS["mnist"](root=str(tmp_path))


def test_one_without_the_other(tmp_path):
    write(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(Problem, match="train-labels-idx1-ubyte.gz does not"):
        DATASETS["mnist"](root=str(tmp_path))


def test_nothing_there(tmp_path, monkeypatch):
    with pytest.raises(Problem, match="data.root=FOLDER.*FROMNOISE_DATA"):
        DATASETS["mnist"](root=str(tmp_path), download=False)
    with pytest.raises(Problem, match="not a folder"):
        DATASETS["mnist"](root=str(tmp_path / "absent"))
    monkeypatch.setenv("FROMNOISE_DATA", str(tmp_path / "absent"))
    with pytest.raises(Problem, match="FROMNOISE_DATA"):
        DATASETS["mnist"]()


def test_where_mnist_is_not_there_a_set_is_named_that_needs_no_network(tmp_path):
    with pytest.raises(Problem, match=r"mnist is not under .*mnist_5k in its place"):
        DATASETS["mnist"](root=str(tmp_path), download=False)
