"""Latents of a dataset, kept on disk, so that each example is encoded once: means and log-variances, of which every batch is drawn anew."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import Problem
from ..files import cache, replacing
from ..progress import track
from .dataset import Dataset, Wrapped, scaled

SHARD = 4096  # examples of a file
AT_ONCE = 32  # ... that are encoded together
SAMPLED = 1024  # ... whose content names the data, beside their number
FLIPPED = " flipped"  # after the name of what belongs to the mirrored example
Moments = Callable[[Tensor], tuple[Tensor, Tensor | None]]  # x (B, C, *S) -> mean and log-variance (B, C', *S')


@final
class Latents(Wrapped):
    """A dataset whose examples are latents: `take` gives mean and, where the autoencoder has one, log_variance (B, C', *S') in place of x."""

    in_memory = True

    def __init__(self, base: Dataset, tensors: dict[str, Tensor]):
        super().__init__(base)
        self.tensors, self.in_memory = tensors, True

    def take(self, indices: Tensor) -> dict[str, Any]:
        here = indices.to(next(iter(self.tensors.values())).device)
        said = {"label": self.base.labels(indices)} if "label" in self.keys and "label" not in self.tensors else {}
        text = {"text": [self.text[i] for i in indices.tolist()]} if self.text is not None else {}
        return {key: value.index_select(0, here) for key, value in self.tensors.items()} | said | text

    def to(self, device: torch.device | str) -> "Latents":
        return Latents(self.base, {key: value.to(device) for key, value in self.tensors.items()})


def named(data: Dataset, autoencoder: str, flip: bool) -> str:
    """A name for the latents of a dataset under an autoencoder of this digest: another for other weights, examples, or transforms of them."""
    rows = torch.linspace(0, len(data) - 1, min(SAMPLED, len(data)), dtype=torch.float64).round().long()
    found = hashlib.sha256(repr((autoencoder, data.name, len(data), tuple(data.shape), data.classes, flip)).encode())
    for part in rows.split(256):
        found.update(data.take(part)["x"].cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def cached(data: Dataset, moments: Moments, autoencoder: str, flip: bool = False, device: torch.device | str = "cpu") -> Latents:
    """The latents of a dataset from the cache, encoded and put there first as far as they are not; mirrored examples too where `flip`.

    autoencoder  the digest of its weights. What was cut short goes on where it was; files that are not whole, or of another shape, are made anew.
    """
    folder = cache() / "latents" / named(data, autoencoder, flip)
    whole: dict[str, list[Tensor]] = {}
    for first in track(starts := range(0, len(data), SHARD), f"latents of {data.name}", len(starts)):
        file = folder / f"{first // SHARD:05d}.safetensors"
        count = min(SHARD, len(data) - first)
        shard = _read(file, count) or _encoded(data, moments, range(first, first + count), flip, torch.device(device), file)
        for key, value in shard.items():
            whole.setdefault(key, []).append(value)
    return Latents(data, {key: torch.cat(parts) for key, parts in whole.items()})


def _read(file: Path, count: int) -> dict[str, Tensor] | None:
    """A shard; None where there is none of so many examples, or it is damaged."""
    try:
        with safe_open(file, "pt") as content:
            words = content.metadata() or {}
            tensors = {key: content.get_tensor(key) for key in content.keys()}
    except (OSError, SafetensorError, UnicodeDecodeError):
        return None
    whole = words.get("digest") == _digest(tensors) and all(len(value) == count for value in tensors.values()) and "mean" in tensors
    return tensors if whole else None


def _encoded(data: Dataset, moments: Moments, rows: range, flip: bool, device: torch.device, file: Path) -> dict[str, Tensor]:
    """The shard of these examples, written."""
    parts: dict[str, list[Tensor]] = {}
    for part in torch.arange(rows.start, rows.stop).split(AT_ONCE):
        batch = data.take(part)
        x = scaled(batch["x"].to(device))
        for turned, end in ((x, ""), *([(x.flip(-1), FLIPPED)] if flip else [])):
            for key, value in zip(("mean", "log_variance"), moments(turned), strict=True):
                if value is not None:
                    parts.setdefault(key + end, []).append(value.float().cpu())
    tensors = {key: torch.cat(values) for key, values in parts.items()}
    if bad := next((key for key, value in tensors.items() if not bool(value.isfinite().all())), None):
        raise Problem(f"the {bad} of latents of {data.name} is not finite; train the autoencoder again, with a lower train.lr or train.precision=fp32")
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        save_file({key: value.contiguous() for key, value in tensors.items()}, temporary, {"format": "fromnoise", "digest": _digest(tensors)})
    return tensors


def _digest(tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for key in sorted(tensors):
        found.update(key.encode())
        found.update(tensors[key].contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()[:16]
