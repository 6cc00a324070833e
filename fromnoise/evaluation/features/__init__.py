"""Networks that see pictures: what distances are measured in."""

from collections.abc import Callable
from pathlib import Path

import torch

from ...data import Dataset
from ...errors import Problem, Usage
from ...registry import lookup
from .cached import cached_cnn, quick_cnn
from .clip import ClipScore
from .cnn import CNN
from .inception import Inception
from .network import FeatureNet, as_saved, observe
from .perceptual import NAME, SMALLEST, Perceptual, load_perceptual, perceptual
from .resnet import ResNet, resnet_of
from .timing import TimingNet, timing_net

Factory = Callable[[Dataset, Dataset, torch.device], FeatureNet]  # (training, held-out examples, where it runs) -> network

QUICK = "cnn_quick"
FEATURES: dict[str, Factory] = {"cnn": cached_cnn, "cnn_quick": quick_cnn, "inception": lambda train, test, device: Inception(train.shape)}


def load_features(spec: str | Path | Factory, train: Dataset, test: Dataset, device: torch.device | str = "cpu") -> FeatureNet:
    """The feature network for a dataset of pictures, ready on a device.

    spec  "cnn": a small classifier trained once on the training split and kept in the cache (a set without labels teaches it how far
          a picture was turned); "cnn_quick": another, trained a tenth as long; "inception": that of FID, through the extra `fid`; a
          safetensors file of a CIFAR ResNet; or `module:Name` of a function of your own, (train, test, device) -> FeatureNet.
    """
    if len(train.shape) != 3:
        raise Problem(f"feature networks see pictures (C, H, W); the data is {tuple(train.shape)}")
    return find_features(spec)(train, test, torch.device(device)).to(device).eval().requires_grad_(False)


def find_features(spec: str | Path | Factory) -> Factory:
    """What makes the feature network that `spec` names (see `load_features`); raises Usage where there is none."""
    if isinstance(spec, (str, Path)) and Path(spec).is_file():
        return lambda train, test, device: resnet_of(Path(spec), train.shape[0])
    if str(spec).endswith(".safetensors"):
        raise Usage(f"there is no file {spec}; name one of weights, or one of: {', '.join(FEATURES)}")
    return lookup(FEATURES, str(spec) if isinstance(spec, Path) else spec, "feature network or file of weights (.safetensors)")


def load_classifier(spec: str | Path | Factory, train: Dataset, test: Dataset, device: torch.device | str = "cpu") -> FeatureNet:
    """The feature network for a dataset, as `load_features` finds it, where it tells the data's classes apart; else raises Usage."""
    net = load_features(spec, train, test, device)
    if net.classes != len(train.classes):
        raise Usage(f"{spec} does not tell the {len(train.classes)} classes of {train.name} apart; use --features cnn")
    return net
