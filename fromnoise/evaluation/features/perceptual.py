"""A distance between pictures in a published network's features, like LPIPS."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...data.sets.arrays import DAMAGE
from ...errors import Problem, Usage

NAME = "LPIPS-like"  # of this distance: the published one was calibrated on other weights of SqueezeNet 1.1
SMALLEST = 17  # pixels a side that are still something after the last halving
CONV = re.compile(r"conv(\d+)_(weight|bias)$")
# Widths of the fires: squeezed, and each half of what comes out.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
POOLED = (0, 2, 4)  # fires before which the map is halved
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


class Perceptual(nn.Module):
    """LPIPS (Zhang et al. 2018): features of SqueezeNet 1.1 after its first layer and six of its fires, each of unit length at every pixel; their
    squared differences, weighted by channel, averaged over pixels and added up over layers. a, b (B, 1 or 3, H, W) in [-1, 1] -> (B,).

    layers   25 pairs of weight and bias in the order of the network;  weights  (C,) of each of the seven features
    """

    def __init__(self, layers: list[tuple[Tensor, Tensor]], weights: list[Tensor]):
        super().__init__()
        self.layers = nn.ParameterList([nn.Parameter(part, False) for layer in layers for part in layer])
        self.weights = nn.ParameterList([nn.Parameter(weight, False) for weight in weights])

    def features(self, images: Tensor) -> list[Tensor]:
        """Seven maps (B, C, H', W')."""
        mean, std = (images.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        layers = list(zip(self.layers[::2], self.layers[1::2], strict=True))
        x = F.relu(F.conv2d(((images + 1) / 2 - mean) / std, *layers[0], stride=2))
        found = [x]
        for i, (squeeze, point, square) in enumerate(zip(layers[1::3], layers[2::3], layers[3::3], strict=True)):
            if i in POOLED:
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            x = F.relu(F.conv2d(x, *squeeze))
            x = torch.cat([F.relu(F.conv2d(x, *point)), F.relu(F.conv2d(x, *square, padding=1))], 1)
            found.append(x)
        return [found[i] for i in (0, 2, 4, 5, 6, 7, 8)]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        total = torch.zeros(len(a), device=a.device)
        for one, other, weight in zip(*(self.features(x.expand(-1, 3, -1, -1)) for x in (a, b)), self.weights, strict=True):
            apart = (F.normalize(one, dim=1, eps=1e-10) - F.normalize(other, dim=1, eps=1e-10)).square()
            total = total + (apart * weight[:, None, None]).sum(1).mean((1, 2))
        return total


def load_perceptual(spec: str) -> Perceptual:
    """The distance of two files, NETWORK.npz,WEIGHTS.safetensors: SqueezeNet 1.1 of the ONNX model zoo, LPIPS v0.1's linear layers for it."""
    files = [Path(part).expanduser() for part in spec.split(",")]
    if len(files) != 2:
        raise Usage(f"--perceptual is two files with a comma: SqueezeNet's weights (.npz) and LPIPS's (.safetensors), not {spec!r}")
    for file in files:
        if not file.is_file():
            raise Usage(f"--perceptual: there is no file {file}")
    try:
        with np.load(files[0], allow_pickle=False) as arrays:
            network = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        linear = load_file(files[1])
    except (*DAMAGE, SafetensorError) as error:
        raise Problem(f"--perceptual: {' or '.join(map(str, files))} is not what its ending says, or cut short; fetch it again") from error
    try:
        return Perceptual(_layers(network), [linear[f"lin{i}.model.1.weight"].float().flatten() for i in range(7)]).eval()
    except (KeyError, ValueError) as error:
        raise Problem(f"--perceptual: {files[0]} is no SqueezeNet 1.1 of the ONNX model zoo, or {files[1]} is not LPIPS's for it") from error


def _layers(tensors: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """(weight, bias) of the convolutions in the order of their numbers; raises KeyError or ValueError where they are not SqueezeNet 1.1's."""
    found = {(int(m[1]), m[2]): tensor.float() for name, tensor in tensors.items() if (m := CONV.search(name))}
    layers = [(found[i, "weight"], found[i, "bias"]) for i in range(1 + 3 * len(FIRES))]
    shapes, before = [(64, 3, 3)], 64
    for squeeze, wide in FIRES:
        shapes += [(squeeze, before, 1), (wide, squeeze, 1), (wide, squeeze, 3)]
        before = 2 * wide
    if [tuple(weight.shape[:3]) for weight, _ in layers] != shapes:
        raise ValueError("other layers")
    return layers
