"""What a folder of meshes, or a file of occupancy grids, holds, and two recipes that suit it: an autoencoder of volumes, and diffusion in its latents."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..files.meshes import Meshes
from .inspect import labelled
from .latents import Speed
from .propose import SPENT, flow, seen

SIDE, SHARE = 32, 0.5  # voxels a side; of the minutes, on the autoencoder
AUTOENCODER = {"name": "conv_ae", "widths": [32, 64], "latent": 4, "patch": 2}
NETWORK = {"name": "unet", "width": 96, "levels": [1, 2], "blocks": 1, "attention": [0], "patch": 2}
OWN = {"batch": 32, "optimizer": "muon", "lr": 5e-3}


@dataclass(frozen=True)
class Shapes:
    """What shapes there are, as volumes of `SIDE` voxels a side."""

    path: Path
    count: int
    held_out: int
    labels: Mapping[str, int]
    full: tuple[float, float]  # the least and the largest share of voxels that is inside
    left_out: Sequence[str]

    def rows(self) -> list[tuple[str, str]]:
        """What it holds, a row for each question."""
        return [
            ("path", f"{self.path} (meshes)"), ("shapes", f"{self.count:,} to train on, {self.held_out:,} held out"),
            ("labels", labelled(self.labels)),
            ("inside", f"{self.full[0]:.1%} to {self.full[1]:.1%} of {SIDE} x {SIDE} x {SIDE} voxels"),
        ]  # fmt: skip

    def warnings(self) -> list[str]:
        """What to check before training, one line each."""
        thin = ["the thinnest has fewer than 1 voxel of 200 inside: raise data.side, or draw points (data.points=2048)"] if self.full[0] < 0.005 else []
        return [f"left out: {line}" for line in self.left_out] + thin


def inspect(path: str | Path) -> Shapes:
    """What the shapes at a path are. Raises Problem where none can be read."""
    path = Path(path).expanduser().absolute()
    train, test = (Meshes(str(path), side=SIDE, skip_broken=True, split=split) for split in ("train", "test"))
    rows = torch.arange(len(train))
    labels = Counter(train.classes[i] for i in train.labels(rows).tolist()) if "label" in train.keys else Counter[str]()
    inside = torch.cat([(train.take(some)["x"] > 127).flatten(1).float().mean(1) for some in rows.split(256)])
    return Shapes(path, len(train), len(test), dict(sorted(labels.items())), (float(inside.min()), float(inside.max())), train.left_out)


def proposals(found: Shapes, minutes: float, speed: Speed, name: str) -> dict[str, str]:
    """The recipes for what was found, {name: YAML}, the autoencoder first, with the reasons as comments; `speed` measures the networks."""
    data: dict[str, Any] = {"name": "meshes", "path": str(found.path), "side": SIDE, "turns": True}
    reasons = ["turns: each shape in four quarter turns; take that away where shapes have a front", f"side: {SIDE}; 64 keeps thin parts, and costs 8 times as much"]
    if any("cannot be read" in line for line in found.left_out):
        data["skip_broken"] = True
        reasons.append("skip_broken: some files cannot be read and are left out")
    labels = len(found.labels) if len(found.labels) > 1 else 0
    latent = (AUTOENCODER["latent"], *[SIDE // 4] * 3)
    conditions = [{"name": "label", "drop": 0.1}] * bool(labels)
    images = int(SPENT * 60 * minutes * (1 - SHARE) * speed({"network": NETWORK, "conditions": conditions, "predict": "velocity", "train": OWN}, latent, labels))
    first_own, own = {"minutes": round(minutes * SHARE, 1), **OWN}, {"minutes": round(minutes * (1 - SHARE), 1), **OWN, "warmup": min(1600, images // 10)}
    labelled = ["conditions:  [{name: label, drop: 0.1}]"] if labels else []
    heading = "# Proposed by `fromnoise data inspect`; the reasons:"
    first = "\n".join([
        heading, *(f"#   {reason}" for reason in [f"train this first: the latents of {name} are its", *reasons]),
        f"data:        {flow(data)}", f"autoencoder: {flow(AUTOENCODER)}",
        f"train:       {flow({**first_own, 'distance': 'mse', 'warmup': 1600})}", "seed: 0\n",
    ])  # fmt: skip
    second = "\n".join([
        heading, f"#   {seen(found.count, max(1, images), round(minutes * (1 - SHARE), 1), 'shape')}",
        f"data:        {flow(data)}", f"autoencoder: runs/{name}_ae", f"network:     {flow(NETWORK)}", *labelled,
        "predict:     velocity", "noise:       {name: flow}", f"train:       {flow(own)}",
        f"sample:      {{name: heun, steps: 20{', guidance: 1.5' if labels else ''}}}", "seed: 0\n",
    ])  # fmt: skip
    return {f"{name}_ae": first, name: second}
