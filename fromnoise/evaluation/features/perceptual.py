"""A distance between pictures in the features of a network at several depths, like LPIPS."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...data.sets.arrays import DAMAGE
from ...errors import Problem, Usage
from .cnn import CNN
from .network import read_weights
from .resnet import ResNet

NAME = "LPIPS-like"  # of this distance: the published one was calibrated on other weights of SqueezeNet 1.1
SMALLEST = 17  # pixels a side that are still something after SqueezeNet's last halving
CONV = re.compile(r"conv_?(\d+)_(weight|bias)$")
# Widths of the fires: squeezed, and each half of what comes out.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
POOLED = (0, 2, 4)  # fires before which the map is halved
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))  # Sandler et al. 2018, table 2: t, c, n, s
SEEN = (0, 1, 2, 4, 6)  # stages whose answers are compared: the last of each size
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
Layers = list[tuple[Tensor, Tensor]]  # weight and bias


class Maps(Protocol):
    """A network whose maps (B, C, H', W') at several depths of pictures (B, C, H, W) in [-1, 1] are looked at."""

    def maps(self, images: Tensor) -> list[Tensor]: ...


class Convolutions(nn.Module):
    """Layers of a network that was trained on ImageNet, frozen."""

    def __init__(self, layers: Layers):
        super().__init__()
        self.parts = nn.ParameterList([nn.Parameter(part, False) for layer in layers for part in layer])

    @property
    def layers(self) -> Layers:
        """(weight, bias) of each."""
        return list(zip(self.parts[::2], self.parts[1::2], strict=True))


class SqueezeNet(Convolutions):
    """SqueezeNet 1.1 up to its last fire, of 25 layers in order: seven maps, after the first layer and six of the fires."""

    def maps(self, images: Tensor) -> list[Tensor]:
        layers = self.layers
        x = F.relu(F.conv2d(centred(images), *layers[0], stride=2))
        found = [x]
        for i, (squeeze, point, square) in enumerate(zip(layers[1::3], layers[2::3], layers[3::3], strict=True)):
            if i in POOLED:
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            x = F.relu(F.conv2d(x, *squeeze))
            x = torch.cat([F.relu(F.conv2d(x, *point)), F.relu(F.conv2d(x, *square, padding=1))], 1)
            found.append(x)
        return [found[i] for i in (0, 2, 4, 5, 6, 7, 8)]


class MobileNet(Convolutions):
    """MobileNetV2 (Sandler et al. 2018), its batch norms folded into 51 layers, in order: five maps, the last of each size."""

    def maps(self, images: Tensor) -> list[Tensor]:
        layers, found = iter(self.layers), []
        x = F.relu6(F.conv2d(centred(images), *next(layers), stride=2, padding=1))
        for i, (widen, wide, count, stride) in enumerate(STAGES):
            for j in range(count):
                h = F.relu6(F.conv2d(x, *next(layers))) if widen > 1 else x
                h = F.relu6(F.conv2d(h, *next(layers), stride=stride if j == 0 else 1, padding=1, groups=h.shape[1]))
                h = F.conv2d(h, *next(layers))
                x = x + h if j and x.shape[1] == wide else h
            found += [x] * (i in SEEN)
        return found


def centred(images: Tensor) -> Tensor:
    """Pictures in [-1, 1], (B, 1 or 3, H, W), as networks of ImageNet want them."""
    mean, std = (images.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return ((images.expand(-1, 3, -1, -1) + 1) / 2 - mean) / std


class Perceptual(nn.Module):
    """LPIPS (Zhang et al. 2018, eq. 1): a network's maps at several depths, each of unit length at every pixel; their squared differences, weighted by
    channel, averaged over pixels and added up over depths. a, b (B, C, H, W) in [-1, 1] -> (B,).

    network  whose maps they are;  weights  (C,) of each map, 1 without (the error in features of Johnson et al. 2016, of unit length)
    """

    def __init__(self, network: Maps, weights: Sequence[Tensor] | None = None):
        super().__init__()
        self.network = network
        self.weights = None if weights is None else nn.ParameterList([nn.Parameter(weight, False) for weight in weights])

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        total = torch.zeros(len(a), device=a.device)
        for i, (one, other) in enumerate(zip(self.network.maps(a), self.network.maps(b), strict=True)):
            apart = (F.normalize(one, dim=1, eps=1e-10) - F.normalize(other, dim=1, eps=1e-10)).square()
            total = total + (apart if self.weights is None else apart * self.weights[i][:, None, None]).sum(1).mean((1, 2))
        return total


def load_perceptual(spec: str) -> Perceptual:
    """The distance of two files, NETWORK.npz,WEIGHTS.safetensors: SqueezeNet 1.1 of the ONNX model zoo, LPIPS v0.1's linear layers for it."""
    files = [Path(part).expanduser() for part in spec.split(",")]
    if len(files) != 2:
        raise Usage(f"--perceptual is two files with a comma: SqueezeNet's weights (.npz) and LPIPS's (.safetensors), not {spec!r}")
    return perceptual_of(files[0], files[1], (3, 64, 64), "--perceptual")


def perceptual_of(network: Path, linear: Path | None, shape: Sequence[int], what: str) -> Perceptual:
    """The distance in the features of a file, for pictures of this shape, with the weights of LPIPS's linear layers in another; `what` names them in errors.

    network  SqueezeNet 1.1 or MobileNetV2 of the ONNX model zoo (.npz), or a CIFAR ResNet or a classifier that `evaluate` has kept (.safetensors)
    """
    for file in (network, linear) if linear else (network,):
        if not file.is_file():
            raise Usage(f"{what}: there is no file {file}")
    try:
        if network.suffix == ".npz":
            with np.load(network, allow_pickle=False) as arrays:
                tensors, meta = {name: torch.from_numpy(arrays[name]) for name in arrays.files}, {}
        else:
            tensors, meta = read_weights(network)
        weights = load_file(linear) if linear else {}
    except (*DAMAGE, SafetensorError) as error:
        files = " or ".join(str(file) for file in (network, linear) if file)
        raise Problem(f"{what}: {files} is not what its ending says, or cut short; fetch it again") from error
    made = _read(tensors, meta, shape)
    parts = [weights.get(f"lin{i}.model.1.weight") for i in range(7)] if linear else None
    if parts and (not isinstance(made, SqueezeNet) or any(part is None for part in parts)):
        raise Problem(f"{what}: {network} is no SqueezeNet 1.1 of the ONNX model zoo, or {linear} is not LPIPS's for it")
    if made is None:
        raise Problem(f"{what}: {network} is no {', '.join(READERS)}")
    if not isinstance(made, CNN) and shape[0] not in (1, 3):
        raise Usage(f"{what}: {network.name} sees pictures with 1 or 3 channels, these have {shape[0]}; leave it out")
    if isinstance(made, SqueezeNet) and min(shape[1:]) < SMALLEST:
        raise Usage(f"{what}: SqueezeNet needs pictures of {SMALLEST} pixels a side or more, these have {tuple(shape[1:])}; take another network")
    return Perceptual(made, parts and [part.float().flatten() for part in parts]).eval().requires_grad_(False)


def _read(tensors: Mapping[str, Tensor], meta: Mapping[str, str], shape: Sequence[int]) -> Any:
    """The network that a file's tensors are of; None where it is none of them."""
    for read in READERS.values():
        with suppress(KeyError, ValueError, RuntimeError):
            return read(tensors, meta, shape)
    return None


def _squeezenet(tensors: Mapping[str, Tensor], meta: Mapping[str, str], shape: Sequence[int]) -> SqueezeNet:
    """Raises KeyError or ValueError where the layers are another network's, as all readers do."""
    shapes, before = [(64, 3, 3)], 64
    for squeeze, wide in FIRES:
        shapes += [(squeeze, before, 1), (wide, squeeze, 1), (wide, squeeze, 3)]
        before = 2 * wide
    return SqueezeNet(_layers(tensors, shapes))


def _mobilenet(tensors: Mapping[str, Tensor], meta: Mapping[str, str], shape: Sequence[int]) -> MobileNet:
    shapes, before = [(32, 3, 3)], 32
    for widen, wide, count, _ in STAGES:
        for _ in range(count):
            shapes += [(widen * before, before, 1)] * (widen > 1) + [(widen * before, 1, 3), (wide, widen * before, 1)]
            before = wide
    return MobileNet(_layers(tensors, shapes))


def _cnn(tensors: Mapping[str, Tensor], meta: Mapping[str, str], shape: Sequence[int]) -> CNN:
    made = CNN(tuple(shape), len(tensors["head.weight"]), meta["name"])
    made.load_state_dict(dict(tensors))
    return made


READERS = {"SqueezeNet 1.1 of the ONNX model zoo": _squeezenet, "MobileNetV2 of it": _mobilenet,
           "CIFAR ResNet": lambda tensors, meta, shape: ResNet.from_tensors(tensors), "classifier kept of pictures of this shape": _cnn}  # fmt: skip


def _layers(tensors: Mapping[str, Tensor], shapes: Sequence[tuple[int, int, int]]) -> Layers:
    """(weight, bias) of the convolutions in the order of their numbers; raises ValueError where they are not of these shapes (out, in, side)."""
    numbered = {(int(m[1]), m[2]): tensor.float() for name, tensor in tensors.items() if (m := CONV.search(name))}
    order = sorted({number for number, _ in numbered})[: len(shapes)]
    layers = [(numbered[number, "weight"], numbered[number, "bias"]) for number in order]
    if [tuple(weight.shape[:3]) for weight, _ in layers] != list(shapes):
        raise ValueError("other layers")
    return layers


def perceptual(a: Tensor, b: Tensor, weights: str = "", linear: str | None = None) -> Tensor:
    """The distance of two batches of pictures in a network's features (`Perceptual`), as a penalty; (B, C, H, W) -> (B,). b has no gradient.

    weights  the network's file: SqueezeNet 1.1 or MobileNetV2 of the ONNX model zoo (.npz), a CIFAR ResNet, or a classifier that `evaluate` has kept
    linear   the file of LPIPS's linear layers for SqueezeNet, by which channels count; equally without
    """
    if not weights:
        raise Usage("train.penalty=perceptual needs a network: train.penalty={name: perceptual, weights: squeezenet.npz}")
    if a.ndim != 4:
        raise Usage(f"the penalty perceptual is for pictures (C, H, W), not for examples of shape {tuple(a.shape[1:])}; leave it out")
    distance = _loaded(weights, linear, tuple(a.shape[1:]), a.device)
    with torch.autocast(a.device.type, enabled=False):
        return distance(a.float(), b.detach().float())


@lru_cache(8)
def _loaded(weights: str, linear: str | None, shape: tuple[int, ...], device: torch.device) -> Perceptual:
    return perceptual_of(Path(weights).expanduser(), Path(linear).expanduser() if linear else None, shape, "train.penalty").to(device)
