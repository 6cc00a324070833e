"""The classifier that a dataset is measured in, trained once and kept in the cache."""

import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ...data import Dataset
from ...errors import Problem
from ...files import cache, replacing
from ...progress import duration
from .cnn import CNN, train_cnn
from .network import observe, read_weights

VERSION = "v1"  # of the CNN and how it is trained: a change makes other features, so a new file
ROTATION = "v2"  # the same, of the CNN that learns turns: v1 saw mirrored pictures, in which 90 degrees look like 270
CHECKED = 10_000  # test images that the accuracy is measured on
HASHED = 2048  # examples that identify a dataset
SHARE = 0.1  # of the training, of the quick one
NOTE = "Quick: this CNN was trained a tenth as long as usual; compare with other quick figures alone, never with published ones."


class Turned(Dataset):
    """The pictures of a dataset cut square, each turned by 0, 90, 180 and 270 degrees, which is the label (Gidaris et al. 2018)."""

    def __init__(self, base: Dataset):
        side = min(base.shape[1:])
        self.base, self.name, self.shape = base, f"{base.name} rotation", (base.shape[0], side, side)
        self.classes, self.keys = ("0", "90", "180", "270"), ("label",)

    def __len__(self) -> int:
        return 4 * len(self.base)

    def take(self, indices: Tensor) -> dict[str, Any]:
        x = self.base.take(indices // 4)["x"]
        top, left = ((side - self.shape[1]) // 2 for side in x.shape[2:])
        x = x[:, :, top : top + self.shape[1], left : left + self.shape[2]].clone()
        turns = indices % 4
        for k in (1, 2, 3):
            mine = (turns == k).nonzero().flatten().to(x.device)
            x[mine] = x[mine].rot90(k, (2, 3))
        return {"x": x, "label": turns.to(x.device)}


def cached_cnn(train: Dataset, test: Dataset, device: torch.device, quick: bool = False) -> CNN:
    """The CNN of this dataset from the cache, trained and put there first if need be; without labels it learns how far a picture was turned.

    quick: another, trained a tenth as long, and kept apart.
    """
    turned = len(train.classes) < 2
    train, test = (Turned(train), Turned(test)) if turned else (train, test)
    path = place(train, ROTATION if turned else VERSION, quick)
    try:
        tensors, meta = read_weights(path)
        net = CNN(train.shape, len(train.classes), meta["name"])
        net.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):  # absent, cut short or another version's: made anew
        net = _trained(train, test, device, path, mirror=False if turned else None, share=SHARE if quick else 1.0)
    net.note = NOTE if quick else ""
    return net


def quick_cnn(train: Dataset, test: Dataset, device: torch.device) -> CNN:
    """The CNN of `cnn` trained a tenth as long, for a first look: its figures compare with its own alone."""
    return cached_cnn(train, test, device, quick=True)


def _trained(train: Dataset, test: Dataset, device: torch.device, path: Path, share: float, **how: Any) -> CNN:
    """A CNN trained on a dataset, named after it and its accuracy, and kept in a file."""
    writable(path.parent)
    quick = "quick " if share < 1 else ""
    shorter = "" if quick else "; --features cnn_quick takes a tenth of that, --features inception or a file of weights none of it"

    def announce(pictures: int, seconds: float) -> None:
        what = f"training a {quick}CNN on {pictures:,} pictures of {train.name}, to measure in its features"
        print(f"{what}: about {duration(seconds)}, once; it is kept in {path.parent}{shorter}", file=sys.stderr)

    net = train_cnn(train, device, share=share, announce=announce, **how)
    chosen = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:CHECKED].split(500)
    _, guessed = observe(net, (test.get(part)["x"] for part in chosen))
    labels = torch.cat([test.take(part)["label"].cpu() for part in chosen])
    net.name = f"{train.name} {quick}CNN ({(guessed == labels).double().mean():.2%})".replace("%", " %")
    meta = {"name": net.name, "dataset": train.name}
    with replacing(path) as temporary:
        save_file({key: value.contiguous().cpu() for key, value in net.state_dict().items()}, temporary, meta)
    return net


def place(train: Dataset, version: str, quick: bool) -> Path:
    """The file in which a network is kept that a set's examples have trained."""
    plain, shape = re.sub(r"[^A-Za-z0-9_.]+", "-", train.name).strip("-"), "x".join(map(str, train.shape))
    return cache() / "features" / f"{plain}-{shape}-{_fingerprint(train)}-{version}{'-quick' * quick}.safetensors"


def writable(folder: Path) -> None:
    """Raises Problem before minutes of training whose result could not be kept."""
    try:
        with replacing(folder / ".writable"):
            pass
        (folder / ".writable").unlink(missing_ok=True)  # another process may have tried at the same time
    except Problem as error:
        raise Problem(f"cannot write to {folder}; set FROMNOISE_CACHE to a folder that can be") from error


def _fingerprint(dataset: Dataset) -> str:
    """Twelve hex digits that change with the dataset's size, classes or content (of evenly spaced examples)."""
    chosen = torch.linspace(0, len(dataset) - 1, min(HASHED, len(dataset)), dtype=torch.float64).round().long()
    digest = hashlib.sha256(repr((len(dataset), dataset.shape, dataset.classes)).encode())
    for batch in map(dataset.take, chosen.split(256)):
        for key in ("x", "label"):
            digest.update(batch[key].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
