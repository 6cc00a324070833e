"""The idx format of LeCun's MNIST page, and the sets that come in it."""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from ...errors import Problem
from ..dataset import Dataset, Tensors, check_split
from ..files.published import Published
from .sized import Side, sized

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
PREFIX = {"train": "train", "test": "t10k"}

MNIST = Published(
    name="mnist", layouts=("MNIST/raw", "MNIST", "mnist/raw", "mnist", "raw", ""),
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    md5={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873", "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3", "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    instead="; or take 5,000 of its digits, which need no network: mnist_5k in its place",
)  # fmt: skip
FASHION_MNIST = Published(
    name="fashion_mnist", mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    layouts=("FashionMNIST/raw", "FashionMNIST", "fashion_mnist/raw", "fashion_mnist", "fashion-mnist", "fashion", "raw", ""),
    md5={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79", "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)  # fmt: skip
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
}
LABELS = {  # md5 of the label files' uncompressed bytes: both sets use the same file names, and this tells them apart
    "a25bea736e30d166cdddb491f175f624": "mnist", "27ae3e4e09519cfbb04c329615203637": "mnist",
    "9018921c3c673c538a1fc5bad174d6f9": "fashion_mnist", "15d484375f8d13e6eb1aabb0c3f46965": "fashion_mnist",
}  # fmt: skip


def mnist(root: str | None = None, split: str = "train", download: bool = True, size: Side | None = None) -> Dataset:
    """MNIST: 60,000 + 10,000 handwritten digits, 28x28 grey, 10 classes; found under root or $FROMNOISE_DATA, else downloaded.

    size: the side of its pictures; a larger one is padded with black on each side alike, a smaller one resized with antialiasing.
    """
    return sized(_load(MNIST, root, split, download), size)


def fashion_mnist(root: str | None = None, split: str = "train", download: bool = True, size: Side | None = None) -> Dataset:
    """Fashion-MNIST: 60,000 + 10,000 garments, 28x28 grey, 10 classes; found under root or $FROMNOISE_DATA, else downloaded.

    size: the side of its pictures; a larger one is padded with black on each side alike, a smaller one resized with antialiasing.
    """
    return sized(_load(FASHION_MNIST, root, split, download), size)


def _load(source: Published, root: str | None, split: str, download: bool) -> Tensors:
    check_split(split)
    pair = find(source, root, split, unfinished=source.target(root) if download else None)
    if pair is None:
        files = [file for file in source.md5 if file.startswith(PREFIX[split])]
        place = source.download(files, root, download)
        pair = place / files[0], place / files[1]
    return read_pair(source.name, *pair)


def read_pair(name: str, images_path: Path, labels_path: Path) -> Tensors:
    """The dataset of one idx file of images (N, H, W) and one of labels (N,). Raises Problem where they do not belong together."""
    images, labels = read(images_path), read(labels_path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise Problem(f"{images_path} holds {images.dtype} {images.shape}, not grey images (N, H, W) as bytes; fetch the right file")
    if labels.ndim != 1 or len(labels) != len(images):
        raise Problem(f"{images_path} holds {len(images):,} images, but {labels_path} {labels.size:,} labels; fetch the two again")
    classes = CLASSES[name] if labels.max(initial=0) < 10 else ()
    return Tensors(name, images[:, None], labels.astype(np.int64), classes=classes)


def find(source: Published, root: str | Path | None, split: str, unfinished: Path | None = None) -> tuple[Path, Path] | None:
    """The files of images and of labels, or None; raises Problem for one without the other, but in the folder `unfinished`, where a download goes on."""
    for place in source.places(root):
        images, labels = (_file(place, f"{PREFIX[split]}-{what}") for what in ("images-idx3", "labels-idx1"))
        if images and labels:
            if source.name in CLASSES and known(labels) not in (None, source.name):
                continue
            return images, labels
        if (one := images or labels) and place != unfinished:
            missing = f"{PREFIX[split]}-{'labels-idx1' if images else 'images-idx3'}-ubyte.gz"
            raise Problem(f"{source.name}: {one.name} lies in {place}, but {missing} does not; put it there too")
    return None


def known(labels: Path) -> str | None:
    """Which published set a file of labels is from, or None for any other."""
    try:
        return LABELS.get(hashlib.md5(_bytes(labels), usedforsecurity=False).hexdigest())
    except Problem:
        return None


def _file(place: Path, stem: str) -> Path | None:
    names = [f"{form}-ubyte{end}" for form in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz")]
    return next((path for name in names if (path := place / name).is_file()), None)


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Problem(f"{path} is cut short or damaged; delete it and fetch it again") from error
    except OSError as error:
        raise Problem(f"cannot read {path}: {error.strerror}") from error


def read(path: str | Path) -> np.ndarray:
    """The array of an idx file, gzipped or not. Raises Problem where the file is none, or its length is not what its header says."""
    raw = _bytes(Path(path))
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in TYPES or raw[3] == 0:
        raise Problem(f"{path} is no idx file (it begins with {raw[:4].hex(' ') or 'nothing'}); delete it and fetch it again")
    dtype, ndim = np.dtype(TYPES[raw[2]]), raw[3]
    start = 4 + 4 * ndim
    shape = struct.unpack(f">{ndim}I", raw[4:start]) if len(raw) >= start else None
    expected = start + math.prod(shape) * dtype.itemsize if shape else start
    if len(raw) < expected:
        raise Problem(f"{path} is cut short: {len(raw):,} of {expected:,} bytes; delete it and fetch it again")
    if len(raw) > expected:
        raise Problem(f"{path} holds {len(raw):,} bytes where its header says {expected:,}; delete it and fetch it again")
    return np.frombuffer(raw, dtype, offset=start).reshape(shape or ()).astype(dtype.newbyteorder("="))
