"""Latents of a dataset, kept on disk, so that each example is encoded once: means and log-variances, of which every batch is drawn anew."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..device import memory_left
from ..errors import Problem
from ..files import cache, digest, parse_json, replacing
from ..progress import track
from .dataset import SHARE, Dataset, Wrapped, scaled

SHARD = 4096  # examples of a file
NONE: Mapping[str, Any] = {}
AT_ONCE = 32  # ... that are encoded together
SAMPLED = 1024  # ... of a set that streams, whose content names it
FLIPPED = " flipped"  # after the name of what belongs to the mirrored example
Made = Callable[[Tensor], Tensor]  # pictures (B, C, *S) -> those that are made of them
Moments = Callable[[Tensor], tuple[Tensor, Tensor | None]]  # x (B, C, *S) -> mean and log-variance (B, C', *S')


@final
class Latents(Wrapped):
    """A dataset whose examples are latents: `take` gives mean and, where the autoencoder has one, log_variance (B, C', *S') in place of x, and what
    is `Beside` it.

    Labels and captions are those that the examples had when they were encoded: a set that skips a broken picture gives another in its place.
    """

    def __init__(self, base: Dataset, tensors: Mapping[str, "Tensor | Shards"], text: Sequence[str] | None = None):
        super().__init__(base)
        self.tensors, self.text, self.in_memory = tensors, text, all(isinstance(value, Tensor) for value in tensors.values())

    def take(self, indices: Tensor) -> dict[str, Any]:
        text = {"text": [self.text[i] for i in indices.tolist()]} if self.text is not None else {}
        return {key: value.index_select(0, indices.to(value.device)) for key, value in self.tensors.items()} | text

    def to(self, device: torch.device | str) -> "Latents":
        return Latents(self.base, {key: value.to(device) for key, value in self.tensors.items()}, self.text) if self.in_memory else self


@final
class Shards:
    """One tensor of a cache that memory does not hold: its rows are read from the files when they are wanted."""

    device = torch.device("cpu")

    def __init__(self, files: Sequence[Path], key: str):
        self.slices, self.nbytes = [safe_open(file, "pt").get_slice(key) for file in files], 0
        for part in self.slices:
            self.nbytes += math.prod(part.get_shape()) * part[:1].element_size()

    def index_select(self, _: int, rows: Tensor) -> Tensor:
        """The rows at these indices."""
        return torch.stack([self.slices[i // SHARD][i % SHARD] for i in rows.tolist()])


@dataclass(frozen=True)
class Beside:
    """Pictures beside x the means of whose latents are kept with those of x, by the name of their entry: `made` of the entry `source` of a batch; name  what
    changes when they do."""

    source: str
    made: Made
    name: str


def named(data: Dataset, autoencoder: str, flip: bool, beside: Mapping[str, Beside] = NONE) -> str:
    """A name for the latents of a dataset under an autoencoder of this digest: another for other weights, examples, or transforms of them.

    All examples of a set in memory are looked at; of one that streams from files some, and of every file when it was changed (`Dataset.stamp`).
    """
    count = len(data) if getattr(data, "in_memory", False) else min(SAMPLED, len(data))
    rows = torch.linspace(0, len(data) - 1, count, dtype=torch.float64).round().long()
    found = hashlib.sha256(repr((autoencoder, data.name, len(data), tuple(data.shape), data.classes, flip, getattr(data, "stamp", ""))).encode())
    found.update(repr(sorted((key, part.source, part.name) for key, part in beside.items())).encode() if beside else b"")
    sources = dict.fromkeys(["x", *sorted(part.source for part in beside.values())])
    for some in rows.split(256):
        batch = data.take(some)
        for source in sources:
            found.update(batch[source].cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def cached(
    data: Dataset, moments: Moments, autoencoder: str, flip: bool = False, device: torch.device | str = "cpu", beside: Mapping[str, Beside] = NONE
) -> Latents:
    """The latents of a dataset from the cache, encoded and put there first as far as they are not; mirrored examples too where `flip`.

    autoencoder  the digest of its weights. What was cut short goes on where it was; files that are not whole, or of another shape, are made anew.
    """
    folder = cache() / "latents" / named(data, autoencoder, flip, beside)
    whole: dict[str, list[Tensor]] = {}
    text, files, size, most = list[str](), list[Path](), 0, SHARE * (memory_left() or math.inf)
    for first in track(starts := range(0, len(data), SHARD), f"latents of {data.name}", len(starts)):
        file = folder / f"{first // SHARD:05d}.safetensors"
        count = min(SHARD, len(data) - first)
        tensors, words = _read(file, count) or _encoded(data, moments, range(first, first + count), flip, torch.device(device), file, beside)
        text += words
        files.append(file)
        size += sum(value.nbytes for value in tensors.values())
        for key, value in tensors.items():
            whole.setdefault(key, []).append(value) if size <= most else whole.setdefault(key, []).clear()
    return Latents(data, {key: torch.cat(parts) if size <= most else Shards(files, key) for key, parts in whole.items()}, text or None)


def _read(file: Path, count: int) -> tuple[dict[str, Tensor], list[str]] | None:
    """(the tensors, the captions) of a shard; None where there is none of so many examples, or it is damaged."""
    try:
        with safe_open(file, "pt") as content:
            words = content.metadata() or {}
            tensors, text = {key: content.get_tensor(key) for key in content.keys()}, parse_json(words["text"])
    except (OSError, SafetensorError, UnicodeDecodeError, KeyError, json.JSONDecodeError):
        return None
    whole = words.get("digest") == digest(tensors) and all(len(value) == count for value in tensors.values()) and "mean" in tensors
    return (tensors, text) if whole and len(text) in (0, count) else None


def _encoded(
    data: Dataset, moments: Moments, rows: range, flip: bool, device: torch.device, file: Path, beside: Mapping[str, Beside]
) -> tuple[dict[str, Tensor], list[str]]:
    """(the tensors, the captions) of the shard of these examples, written."""
    parts: dict[str, list[Tensor]] = {}
    text: list[str] = []
    for some in torch.arange(rows.start, rows.stop).split(AT_ONCE):
        batch = data.take(some)
        x = scaled(batch["x"].to(device))
        text += batch.get("text", [])
        if "label" in batch:
            parts.setdefault("label", []).append(batch["label"].cpu())
        for turned, end in ((x, ""), *([(x.flip(-1), FLIPPED)] if flip else [])):
            for key, value in zip(("mean", "log_variance"), moments(turned), strict=True):
                if value is not None:
                    parts.setdefault(key + end, []).append(value.float().cpu())
        for entry, part in beside.items():
            picture = scaled(batch[part.source].to(device))
            for turned, end in ((picture, ""), *([(picture.flip(-1), FLIPPED)] if flip else [])):
                parts.setdefault(entry + end, []).append(moments(part.made(turned))[0].float().cpu())
    tensors = {key: torch.cat(values) for key, values in parts.items()}
    if bad := next((key for key, value in tensors.items() if not bool(value.isfinite().all())), None):
        raise Problem(f"the {bad} of latents of {data.name} is not finite; train the autoencoder again, with a lower train.lr or train.precision=fp32")
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        words = {"format": "fromnoise", "digest": digest(tensors), "text": json.dumps(text)}
        save_file({key: value.contiguous() for key, value in tensors.items()}, temporary, words)
    return tensors, text
