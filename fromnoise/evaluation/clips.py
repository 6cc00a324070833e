"""Cards of clips: distances in the features of their frames and of their time, flicker, and what a judge reads where their law is known."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data import Dataset
from ..data.dataset import Wrapped
from ..errors import Problem
from .card import Card, Row
from .examples import spread
from .features import QUICK, FeatureNet, load_features, observe, timing_net
from .metrics.distances import frechet
from .metrics.motion import flicker
from .moving import JUDGES, rows_of, unwrapped
from .prediction import predicted, prefix
from .score import FEW, alike, check_shape

FRAMES = 4  # of each clip, evenly spread, that are seen as pictures
LARGEST, AT_ONCE = 2000, 100  # clips of the reference; clips at a time
PROTOCOL = (
    "Reference: {m:,} test clips. Real data: {r:,} random training clips{alike}, measured like the samples against the same reference. Fréchet distances: of "
    "{frames} frames of each clip in the penultimate layer of {net}, weights {digest}; and of whole clips in that of {timing}, weights {timed}, a small "
    "network that tells clips from reversed, slowed and shuffled ones: neither is the published Fréchet video distance. Flicker: how far brightness goes up "
    "and down, of its mean."
)


class Framed(Wrapped):
    """Single frames of a set of clips as pictures, FRAMES of each clip, evenly spread."""

    def __init__(self, base: Dataset):
        super().__init__(base)
        self.shape, self.medium, self.name = (base.shape[0], *base.shape[2:]), None, f"{base.name} frames"
        self.each = chosen(base.shape[1])
        self.keys, self.text = tuple(key for key in base.keys if key == "label"), None

    def __len__(self) -> int:
        return len(self.base) * len(self.each)

    def labels(self, indices: Tensor) -> Tensor:
        return self.base.labels(indices // len(self.each))

    def take(self, indices: Tensor) -> dict[str, Any]:
        clips, place = torch.unique(indices // len(self.each), return_inverse=True)
        batch = self.base.take(clips)
        at = self.each.to(batch["x"].device)[(indices % len(self.each)).to(batch["x"].device)]
        place = place.to(at.device)
        return {"x": batch["x"][place, :, at]} | {key: batch[key][place] for key in self.keys}

    def to(self, device: torch.device | str) -> "Framed":
        return Framed(self.base.to(device))


def chosen(frames: int) -> Tensor:
    """The numbers of the frames that are seen as pictures."""
    return spread(FRAMES, frames) if frames > FRAMES else torch.arange(frames)


def measuring_clips(
    train: Dataset, test: Dataset, features: str | Path | Callable[..., FeatureNet], device: torch.device, seed: int = 0,
    known: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
) -> Callable[[Tensor, Mapping[str, Any]], Card]:  # fmt: skip
    """(samples (N, C, T, H, W), their conditions) -> Card; networks are made once, see `load_features` for `features`.

    known  of the hint of the image condition, where it gives frames: the samples are then predictions, of the examples of the test split that `spread` names
    """
    framed = Framed(train), Framed(test)
    net = load_features(features, *framed, device)
    timing = timing_net(train, test, device, quick=features == QUICK).to(device)
    judge = None
    law: Any = unwrapped(test)
    if found := JUDGES.get(type(law)):
        reader = net if net.classes == len(test.classes) else load_features("cnn", *framed, device)
        judge = found(law, reader)

    def features_of(x: Tensor) -> tuple[Tensor, Tensor]:
        frames = (part[:, :, chosen(x.shape[2])].transpose(1, 2).flatten(0, 1) for part in x.split(AT_ONCE))
        return observe(net, frames)[0], observe(timing, iter(x.split(AT_ONCE)))[0]

    reference = _read(test, torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))[:LARGEST])
    target, also = features_of(reference[0]), judge(*reference)[0] if judge else []

    def measure(samples: Tensor, conditions: Mapping[str, Any]) -> Card:
        check_shape(samples, test)
        if not samples.isfinite().all():
            raise Problem("some samples are not finite; take more steps or less guidance")
        n, labels = len(samples), conditions.get("label")
        draw = torch.Generator().manual_seed(seed)
        beside = torch.randperm(len(train), generator=draw)[:n] if labels is None or not test.classes else alike(train, labels.cpu(), draw)
        real = _read(train, beside)
        mine, floor = (features_of(x) for x in (samples, real[0]))
        names = net.name, timing.name
        rows = [Row(f"Fréchet distance · {name}", frechet(mine[i], target[i]), frechet(floor[i], target[i])) for i, name in enumerate(names)]
        rows += rows_of(*([("flicker", flicker(x).mean().item(), None, "lower")] for x in (samples, real[0])))
        words, notes = "", _notes(n, len(reference[0]))
        if judge:
            (own, words), (theirs, _) = judge(samples, labels), judge(real[0], real[1] if labels is not None else None)
            rows = [*rows_of(own, theirs), *rows]
            notes.append("held-out clips, read the same way: " + ", ".join(f"{name} {value:.4g}" for name, value, *_ in also))
        if known and (picture := conditions.get("image")) is not None and (more := predicted(samples, prefix(known(picture)[1].cpu()), test)):
            rows, words = [*more, *rows], f"{words} {PREDICTION}".strip()
        said = {"net": net.name, "digest": net.digest, "timing": timing.name, "timed": timing.digest, "m": len(reference[0]), "r": len(beside), "frames": FRAMES}
        said["alike"] = "" if labels is None else " with the samples' class proportions"
        protocol = " ".join(filter(None, (PROTOCOL.format(**said), words, net.note)))
        return Card(f"{test.name}, {n:,} samples", net.name, n, len(reference[0]), protocol, rows, notes)

    return measure


PREDICTION = (
    "Prediction: distance of the centre of brightness from the true one in the last frame, pixels, of the samples whose first frames alone are known; beside it "
    "those of staying where the last known frame is, and of going straight on as in the last two."
)


def _read(data: Dataset, rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """The clips at `rows`, and their labels."""
    parts = [data.get(part) for part in rows.split(AT_ONCE)]
    labels = torch.cat([part["label"].cpu() for part in parts]) if "label" in data.keys else None  # noqa: SIM118
    return torch.cat([part["x"].cpu() for part in parts]), labels


def _notes(n: int, reference: int) -> list[str]:
    few = min(n, reference)
    return [f"{few:,} clips are few: a Fréchet distance falls as n grows, compare it at one n only; {FEW:,} or more are usual"] if few < FEW else []
