"""CIFAR-10's python pickles, read without executing anything that they hold."""

import io
import math
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Problem
from ..dataset import Dataset, Tensors, check_split
from ..files.published import Published
from .sized import Side, sized

ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10 = Published(
    name="cifar10", layouts=("CIFAR10", "cifar10", "cifar-10", ""),
    mirrors=("https://www.cs.toronto.edu/~kriz/",), md5={ARCHIVE: "c58f30108f718f92721af3b95e74349a"},
)  # fmt: skip


def cifar10(root: str | None = None, split: str = "train", download: bool = True, size: Side | None = None) -> Dataset:
    """CIFAR-10: 50,000 + 10,000 photographs, 32x32 colour, 10 classes; found under root or $FROMNOISE_DATA, else downloaded.

    size: the side of its pictures, resized to it with antialiasing.
    """
    check_split(split)
    return sized(read_split(find(root) or CIFAR10.download([ARCHIVE], root, download) / ARCHIVE, split), size, on_black=False)


def find(root: str | Path | None) -> Path | None:
    """Where the batches are: a folder of them, or the archive as it is downloaded; None where there is neither."""
    for place in CIFAR10.places(root):
        for folder in (place / FOLDER, place):
            if any((folder / name).is_file() for name in sum(BATCHES.values(), ())):
                return folder
        if (place / ARCHIVE).is_file():
            return place / ARCHIVE
    return None


def read_split(place: Path, split: str) -> Tensors:
    """The dataset of one split's batches, in a folder or the archive."""
    read = _from_folder if place.is_dir() else _from_archive
    images, labels = zip(*(_batch(*read(place, name)) for name in BATCHES[split]), strict=True)
    return Tensors("cifar10", np.concatenate(images), np.concatenate(labels), classes=CLASSES)


def _from_folder(folder: Path, name: str) -> tuple[str, bytes]:
    """Where a batch lies, for messages, and its bytes."""
    try:
        return str(folder / name), (folder / name).read_bytes()
    except OSError as error:
        raise Problem(f"cannot read {folder / name}: {error.strerror}; {CIFAR10.cure}") from error


def _from_archive(archive: Path, name: str) -> tuple[str, bytes]:
    try:
        with tarfile.open(archive) as packed:
            return f"{archive}:{name}", packed.extractfile(f"{FOLDER}/{name}").read()  # type: ignore[union-attr]
    except (OSError, EOFError, KeyError, AttributeError, tarfile.TarError, zlib.error) as error:  # AttributeError: a folder in place of a file
        raise Problem(f"{archive} is cut short or holds no {FOLDER}/{name}; delete it and fetch it again") from error


def _batch(where: str, raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3, 32, 32) uint8 and labels (n,) of one batch."""
    content = unpickle(raw, where)
    try:
        images, labels = content[b"data"].numpy(), np.asarray(content[b"labels"], dtype=np.int64)
        if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072 or labels.shape != images.shape[:1]:
            raise ValueError("the wrong sizes")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Problem(f"{where} is no CIFAR-10 batch (3072 bytes and a label for each picture); delete it and fetch it again") from error
    return images.reshape(-1, 3, 32, 32), labels


def unpickle(raw: bytes, where: str) -> Any:
    """What a CIFAR pickle holds, nothing imported or called: dicts, lists, numbers, bytes and inert Arrays; raises Problem for anything else."""
    try:
        return _Reader(io.BytesIO(raw), where).load()
    except Problem:
        raise
    except Exception as error:  # a damaged pickle fails in any way at all
        raise Problem(f"{where} is cut short or no CIFAR-10 batch; delete it and fetch it again") from error


class Array:
    """What a pickle says of a numpy array, kept as plain values until `numpy` reads the bytes."""

    state: Any = None

    def __init__(self, *ignored: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def numpy(self) -> np.ndarray:
        """The array of bytes that this describes. Raises ValueError where it is anything else."""
        _, shape, dtype, fortran, raw = self.state
        if not isinstance(dtype, Dtype) or dtype.code not in ("u1", b"u1", "B", b"B") or fortran or len(raw) != math.prod(shape):
            raise ValueError("not an array of bytes")
        return np.frombuffer(raw, np.uint8).reshape(shape)


class Dtype:
    """What a pickle says of a numpy dtype."""

    def __init__(self, code: Any, *ignored: Any):
        self.code = code

    def __setstate__(self, state: Any) -> None:
        pass


class Encoded:
    """The bytes that Python 3 writes as text into protocol 2; a class with __setstate__, so that a pickle cannot set attributes of it."""

    def __new__(cls, text: str, encoding: Any = None) -> bytes:  # type: ignore[misc]
        return text.encode("latin-1")

    def __setstate__(self, state: Any) -> None:
        pass


STAND_INS = {
    "numpy.core.multiarray._reconstruct": Array, "numpy._core.multiarray._reconstruct": Array, "numpy.ndarray": Array,
    "numpy.dtype": Dtype, "_codecs.encode": Encoded,
}  # fmt: skip


class _Reader(pickle.Unpickler):
    """An unpickler to which the outside world is five stand-ins."""

    def __init__(self, file: io.BytesIO, where: str):
        super().__init__(file, encoding="bytes")
        self.where = where

    def find_class(self, module: str, name: str) -> Any:
        wanted = f"{module}.{name}"
        if wanted not in STAND_INS:
            raise Problem(f"{self.where} tries to import {wanted!r}, which no CIFAR-10 batch does; nothing of it was run: delete that file")
        return STAND_INS[wanted]
