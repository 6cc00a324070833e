"""Networks that see a picture as a vector: what Fréchet distance, KID, precision and recall are measured in."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn


class FeatureNet(nn.Module, ABC):
    """A classifier seen through its penultimate layer."""

    name: str  # goes with every figure measured in it: distances of different networks do not compare
    classes: int | None = None  # how many it tells apart, None where that is not known
    note: str = ""  # what a reader of figures measured in it should beware of

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images (B, C, H, W) in [-1, 1] -> features (B, D), class logits (B, K) or None where the network knows no classes."""

    @property
    def digest(self) -> str:
        """Eight hex digits of these weights."""
        found = hashlib.sha256()
        for key, value in sorted(self.state_dict().items()):
            found.update(key.encode() + value.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()[:8]


def as_saved(images: Tensor) -> Tensor:
    """Images in [-1, 1] rounded to the 256 levels of an 8-bit file and back, so that a score is that of the saved pictures."""
    return images.float().clamp(-1, 1).add(1).mul(127.5).round().div(127.5).sub(1)


@torch.inference_mode()
def observe(net: FeatureNet, batches: Iterator[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Features (N, D) float32 and predicted classes (N,) or None, on the CPU, of images (B, C, H, W) in [-1, 1] that arrive in batches. The network runs in float32,
    whatever the machine offers: figures must not depend on who measured them."""
    device = next(net.parameters()).device
    net.eval()
    features, classes = [], []
    for images in batches:
        feature, logits = net(as_saved(images.to(device)))
        features.append(feature.float().cpu())
        if logits is not None:
            classes.append(logits.argmax(1).cpu())
    return torch.cat(features), torch.cat(classes) if classes else None


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file."""
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
