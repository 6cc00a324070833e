"""The small classifier that `evaluate` trains for itself: features for data that no published network has seen."""

import math
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...data.dataset import Dataset, scaled
from ...device import precision
from ...progress import track
from .network import FeatureNet

WIDTHS = (32, 64, 128, 128)
LARGEST = 64  # pixels; a wider picture is averaged down to this before the first layer
SEEN = 600_000 * 28 * 28  # pixels shown in training
EPOCHS = (3, 100)  # ... but no fewer or more passes than these
KEPT = 65_536  # images of a large set that are trained on
FIRST = 5  # steps that tell how long the others take


def _unit(inputs: int, outputs: int, kernel: int, pool: bool) -> list[nn.Module]:
    pooling = [nn.MaxPool2d(2, ceil_mode=True)] if pool else []  # before the norm, which then has a quarter of the work
    return [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), *pooling, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class CNN(FeatureNet):
    """A plain convolutional classifier of images (B, C, H, W) in [-1, 1]; its features are the last feature map's mean, (B, 128). A 5x5 convolution, then two or
    three pairs of 3x3 convolutions; max-pooling after the first ones until the longer side is at most 8."""

    def __init__(self, shape: tuple[int, ...], classes: int, name: str = "CNN"):
        super().__init__()
        self.name, self.classes = name, classes
        halvings = max(0, math.ceil(math.log2(min(max(shape[1:]), LARGEST) / 8)))
        layers = _unit(shape[0], WIDTHS[0], 5, pool=halvings > 0)
        for i, (width, wider) in enumerate(pairwise(WIDTHS[: max(halvings, 2) + 1]), start=1):
            layers += _unit(width, wider, 3, pool=False) + _unit(wider, wider, 3, pool=i < halvings)
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(WIDTHS[-1], classes)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Its maps (B, C, H', W') after each layer."""
        x, found = shrunk(images).contiguous(memory_format=torch.channels_last), []
        for layer in self.body:
            x = layer(x)
            found += [x] * isinstance(layer, nn.ReLU)
        return found

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(shrunk(images).contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return features, self.head(features)


def shrunk(images: Tensor) -> Tensor:
    """Images (B, C, H, W) averaged down until the longer side is LARGEST pixels; smaller ones as they are. Keeps the dtype."""
    longest = max(images.shape[2:])
    if longest <= LARGEST:
        return images
    small = F.interpolate(images.float(), [max(1, side * LARGEST // longest) for side in images.shape[2:]], mode="area")
    return small if images.is_floating_point() else small.round().to(images.dtype)


def _kept(dataset: Dataset, chosen: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """The chosen images (N, C, H, W) as they are stored, no larger than they will be seen, and their labels (N,)."""
    parts = chosen.split(512)
    images, labels = [], []
    for part in track(parts, f"reading {dataset.name}", len(parts)):
        batch = dataset.take(part)
        images.append(shrunk(batch["x"]).to(device))
        labels.append(batch["label"].to(device))
    return torch.cat(images), torch.cat(labels)


def augmented(images: Tensor, mirror: bool, generator: torch.Generator) -> Tensor:
    """Images (B, C, H, W), turned by up to 10 degrees, scaled by up to 10 %, shifted by up to 7 %; with `mirror`, half of them mirrored."""
    uniform = torch.rand(len(images), 5, generator=generator).mul(2).sub(1)
    angle, scale = uniform[:, 0] * math.radians(10), 1 + uniform[:, 1] / 10
    side = torch.where(uniform[:, 4] < 0, -1.0, 1.0) if mirror else torch.ones(len(images))
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift = uniform[:, 2:4] * 0.14  # grid_sample's unit is half a side
    turn = torch.stack([torch.stack([cos * side, -sin, shift[:, 0]], 1), torch.stack([sin * side, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(turn.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def train_cnn(
    train: Dataset, device: torch.device, seed: int = 0, seen: int = SEEN, mirror: bool | None = None, share: float = 1.0,
    announce: Callable[[int, float], Any] = lambda pictures, seconds: None,
) -> CNN:  # fmt: skip
    """A CNN trained on a labelled dataset: AdamW, one-cycle rate, augmentation; the same seed gives the same weights on the same machine.

    mirror    shows half of them mirrored; by default where they have three channels (photographs may be mirrored, letters may not)
    share     of the usual passes over the pictures, at least one;  announce  called after the first steps with how many pictures there are, and about
              how many seconds all will take
    """
    mirror = train.shape[0] == 3 and not train.seen_as if mirror is None else mirror
    draw = torch.Generator().manual_seed(seed)
    stored, labels = _kept(train, torch.randperm(len(train), generator=draw)[:KEPT], device)
    size = min(256, len(labels))
    per_epoch = len(labels) // size
    usual = min(max(seen // (len(labels) * stored[0, 0].numel()), EPOCHS[0]), EPOCHS[1])
    steps = per_epoch * max(1, round(share * usual))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = CNN(train.shape, len(train.classes)).to(device).train()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.2)
    dtype, order, first, began = precision(device), torch.empty(0), min(FIRST, steps - 1), 0.0
    for step in track(range(steps), f"training the CNN that sees {train.name}", steps):
        if step % per_epoch == 0:
            order = torch.randperm(len(labels), generator=draw).to(device)
        at = order[step % per_epoch * size :][:size]
        images = augmented(scaled(stored[at]), mirror, draw)
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            logits = net(images)[1]
        optimizer.zero_grad()
        loss = F.cross_entropy(logits.float(), labels[at], label_smoothing=0.05)
        loss.backward()
        optimizer.step()
        rate.step()
        if step in (0, first):
            loss.item()  # waits for a GPU
            now = time.perf_counter()
            began = began or now  # what the first step costs once is not counted
        if step == first:
            announce(len(labels), (now - began) / max(first, 1) * steps)
    return net.eval().requires_grad_(False)
