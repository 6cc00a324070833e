"""CIFAR batches as the official archive holds them, and pickles that want more."""

import io
import os
import pickle
import struct
import tarfile
import zlib

import numpy as np
import pytest

from fromnoise.data import DATASETS
from fromnoise.data.sets.cifar import STAND_INS, unpickle
from fromnoise.errors import Problem


def official(images, labels):
    """A batch as Python 2's numpy pickled it (protocol 2), opcode by opcode: {'data': array, 'labels': [...]}."""

    def text(value):
        return b"T" + struct.pack("<i", len(value)) + value  # BINSTRING, Python 2's str

    def number(value):
        return b"J" + struct.pack("<i", value)

    n = len(images)
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b") + b"\x87R"
    array += b"(" + number(1) + number(n) + number(3072) + b"\x86" + dtype + b"\x89" + text(images.tobytes()) + b"tb"
    listed = b"](" + b"".join(number(label) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."


def batch(seed, n=3):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (n, 3072), np.uint8), draw.integers(0, 10, n).tolist()


NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def write(folder):
    folder.mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        (folder / name).write_bytes(official(*batch(seed)))


def test_the_helper_is_what_python_reads():
    """numpy itself reads our hand-written pickle, so the tests below are about the real format."""
    images, labels = batch(0)
    content = pickle.loads(official(images, labels), encoding="bytes")
    assert np.array_equal(content[b"data"], images) and content[b"labels"] == labels


@pytest.mark.parametrize("layout", ["cifar-10-batches-py", "cifar10/cifar-10-batches-py", "CIFAR10/cifar-10-batches-py", "cifar10"])
def test_found_in_every_layout(tmp_path, layout):
    write(tmp_path / layout)
    train, test = (DATASETS["cifar10"](root=str(tmp_path), split=split) for split in ("train", "test"))
    assert np.array_equal(train.x.numpy(), np.concatenate([batch(s)[0] for s in range(5)]).reshape(-1, 3, 32, 32))
    assert train.label.tolist() == sum((batch(s)[1] for s in range(5)), [])
    assert np.array_equal(test.x.numpy(), batch(5)[0].reshape(-1, 3, 32, 32)) and test.classes[3] == "cat"


def test_the_archive_itself(tmp_path):
    write(tmp_path / "cifar-10-batches-py")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
    (tmp_path / "alone").mkdir()
    archive = (tmp_path / "cifar-10-python.tar.gz").rename(tmp_path / "alone/cifar-10-python.tar.gz")
    assert len(DATASETS["cifar10"](root=str(tmp_path / "alone"))) == 15
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(Problem, match="cut short"):
        DATASETS["cifar10"](root=str(tmp_path / "alone"))


def test_an_archive_that_is_damaged_in_the_middle(tmp_path):
    write(tmp_path / "cifar-10-batches-py")
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as packed:
        packed.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
    (tmp_path / "alone").mkdir()
    gzip = zlib.compressobj(wbits=31)
    begun = gzip.compress(plain.getvalue()[:40_000]) + gzip.flush(zlib.Z_FULL_FLUSH)
    (tmp_path / "alone/cifar-10-python.tar.gz").write_bytes(begun + b"\xff" * 1000)  # no block of deflate starts so
    with pytest.raises(Problem, match="cut short"):
        DATASETS["cifar10"](root=str(tmp_path / "alone"))


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_executed(tmp_path, protocol):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    write(tmp_path / "cifar-10-batches-py")
    path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}, protocol))
    with pytest.raises(Problem, match=r"data_batch_2 tries to import '(posix|nt).mkdir'"):
        DATASETS["cifar10"](root=str(tmp_path))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["builtins\neval", "builtins\ngetattr", "numpy\nload", "numpy.core.multiarray\nfromfile", "os\nsystem"])
def test_nothing_is_imported(name):
    with pytest.raises(Problem, match="tries to import"):
        unpickle(b"c" + name.encode() + b"\n.", "batch")


def test_the_stand_ins_cannot_be_altered():
    """BUILD can set attributes of whatever an import gave: it must not reach what later reads share."""
    for name in ("numpy\nndarray", "numpy\ndtype", "numpy.core.multiarray\n_reconstruct", "_codecs\nencode"):
        for state in (b"N}V__doc__\nVowned\ns\x86", b"}V__doc__\nVowned\ns"):  # (None, {"__doc__": "owned"}) and the dict alone
            with pytest.raises(Problem):
                unpickle(b"\x80\x02c" + name.encode() + b"\n" + state + b"b.", "batch")
    assert not any(stand_in.__doc__ == "owned" for stand_in in STAND_INS.values())
    images, labels = batch(0)
    assert np.array_equal(unpickle(official(images, labels), "batch")[b"data"].numpy(), images)


def test_what_python_3_rewrote_is_read_too():
    images, labels = batch(1)
    for protocol in (2, 3, 4):
        content = unpickle(pickle.dumps({b"data": images, b"labels": labels}, protocol), "batch")
        assert np.array_equal(content[b"data"].numpy(), images)


@pytest.mark.parametrize(
    "raw",
    [
        official(*batch(0))[:-500],
        b"",
        b"<html>",
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": [1]}),
        official(batch(0)[0], [1, 2]),
        official(*batch(0)).replace(b"u1", b"i8"),
        official(*batch(0)).replace(struct.pack("<i", 3072), struct.pack("<i", 3000), 1),
    ],
)
def test_damaged_batches(tmp_path, raw):
    write(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(raw)
    with pytest.raises(Problem, match="test_batch.*fetch it again"):
        DATASETS["cifar10"](root=str(tmp_path), split="test")


def test_a_missing_batch(tmp_path):
    write(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(Problem, match="data_batch_4.*data.root=FOLDER"):
        DATASETS["cifar10"](root=str(tmp_path))
