"""A small network of our own that sees clips: it learns what was done to their time, and its features are what distances between clips are measured in."""

import sys
import time
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ...data import Dataset
from ...data.dataset import Wrapped, scaled
from ...files import cache, replacing
from ...progress import duration, track
from .cached import SHARE, place, writable
from .cnn import FIRST, shrunk
from .network import FeatureNet, observe, read_weights

VERSION = "v1"  # of the network and how it is trained
WIDTHS, DIM = (16, 32, 64), 96
DONE = ("nothing", "reversed", "slowed", "shuffled")  # to a clip's time
STEPS, BATCH, CHECKED = 1500, 32, 1000
MOST = 4096  # clips that are kept to be trained on


class TimingNet(FeatureNet):
    """Clips (B, C, T, H, W) in [-1, 1] -> features (B, DIM): convolutions of each frame, then two over time, and the mean over time."""

    def __init__(self, shape: tuple[int, ...], name: str = "timing network"):
        super().__init__()
        self.name, self.classes = name, len(DONE)
        widths = (shape[0], *WIDTHS)
        layers = [(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)) for a, b in zip(widths, WIDTHS, strict=False)]
        self.frame = nn.Sequential(*(part for layer in layers for part in layer), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * WIDTHS[-1], DIM))
        over = [(nn.ReLU(inplace=True), nn.Conv1d(DIM, DIM, 3, padding=1, bias=False), nn.BatchNorm1d(DIM)) for _ in range(2)]
        self.time = nn.Sequential(*(part for layer in over for part in layer), nn.ReLU(inplace=True))
        self.head = nn.Linear(DIM, len(DONE))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        frames = shrunk(images.transpose(1, 2).flatten(0, 1))
        features = self.time(self.frame(frames).unflatten(0, (len(images), -1)).transpose(1, 2)).mean(2)
        return features, self.head(features)


def retimed(x: Tensor, done: Tensor, draw: torch.Generator) -> Tensor:
    """Clips (B, C, T, H, W), to the time of each of which this was done, (B,) numbers of DONE."""
    frames = x.shape[2]
    forward = torch.arange(frames).expand(len(x), -1)
    ways = [forward, forward.flip(1), forward // 2, torch.rand(len(x), frames, generator=draw).argsort(1)]
    order = torch.stack(ways, 1)[torch.arange(len(x)), done].to(x.device)
    return x.gather(2, order[:, None, :, None, None].expand_as(x))


def train_timing(train: Dataset, device: torch.device, seed: int = 0, steps: int = STEPS) -> TimingNet:
    """The network, trained on the clips of a set: AdamW, one-cycle rate; the same seed gives the same weights on the same machine."""
    draw = torch.Generator().manual_seed(seed)
    parts = torch.randperm(len(train), generator=draw)[:MOST].split(256)
    stored = torch.cat([train.take(part)["x"].cpu() for part in track(parts, f"reading {train.name}", len(parts))])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = TimingNet(train.shape).to(device).train()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.2)
    began = time.perf_counter()
    for step in track(range(steps), f"training the network that tells what was done to the time of {train.name}", steps):
        done = torch.randint(len(DONE), (BATCH,), generator=draw)
        x = scaled(stored[torch.randint(len(stored), (BATCH,), generator=draw)].to(device))
        loss = F.cross_entropy(net(retimed(x, done, draw))[1], done.to(device), label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        if step == FIRST and steps > FIRST:
            said = f"training a small network on clips of {train.name}, to measure in its features: about {duration((time.perf_counter() - began) / FIRST * steps)}"
            print(f"{said}, once; it is kept in {cache() / 'features'}", file=sys.stderr)
    return net.eval().requires_grad_(False)


class Retimed(Wrapped):
    """The clips of a set, each with something done to its time, DONE in turn, which is its label."""

    def __init__(self, base: Dataset):
        super().__init__(base)
        self.classes, self.keys = DONE, ("label",)

    def take(self, indices: Tensor) -> dict[str, Any]:
        done = indices % len(DONE)
        return {"x": retimed(self.base.take(indices)["x"], done, torch.Generator().manual_seed(int(indices[0]))), "label": done}


def timing_net(train: Dataset, test: Dataset, device: torch.device, quick: bool = False) -> TimingNet:
    """The network of these clips from the cache, trained and put there first if need be; quick: another, trained a tenth as long."""
    path = place(train, f"timing-{VERSION}", quick)
    try:
        tensors, meta = read_weights(path)
        net = TimingNet(train.shape, meta["name"])
        net.load_state_dict(tensors)
        return net.to(device).eval().requires_grad_(False)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):  # absent, cut short or another version's: made anew
        writable(path.parent)
    net = train_timing(train, device, steps=max(1, round(STEPS * (SHARE if quick else 1))))
    held_out = Retimed(test)
    rows = torch.arange(min(len(test), CHECKED)).split(250)
    _, guessed = observe(net, (held_out.get(part)["x"] for part in rows))
    share = float((guessed == torch.cat(rows) % len(DONE)).double().mean()) if guessed is not None else 0.0
    net.name = f"{train.name} {'quick ' * quick}timing network ({share:.1%})".replace("%", " %")
    with replacing(path) as temporary:
        save_file({key: value.contiguous().cpu() for key, value in net.state_dict().items()}, temporary, {"name": net.name, "dataset": train.name})
    return net
