"""The residual networks of He et al. (2016) for CIFAR, from a file of published weights."""

from collections.abc import Mapping
from itertools import count, takewhile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from ...errors import Problem
from .network import FeatureNet, read_weights

WIDTHS = (16, 32, 64)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which the published weights were trained with


class Block(nn.Module):
    """Two 3x3 convolutions around which x passes, by shortcut A of He et al. 2016, section 4.2: without parameters; where the shape changes, every second pixel,
    padded with zero channels. (B, C, H, W) -> (B, C', H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.stride, self.added = (1 if inputs == outputs else 2), outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        around = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        return F.relu(around + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class ResNet(FeatureNet):
    """ResNet-(6 blocks + 2) for CIFAR (He et al. 2016, section 4.2); its features are the last map's mean, (B, 64)."""

    shift: Tensor
    scale: Tensor

    def __init__(self, blocks: int, classes: int = 10):
        super().__init__()
        self.name, self.classes = f"CIFAR ResNet-{6 * blocks + 2}", classes
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(Block(before, width), *(Block(width, width) for _ in range(blocks - 1)))
            for before, width in zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False)
        )
        self.linear = nn.Linear(WIDTHS[-1], classes)
        self.register_buffer("shift", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(STD)[:, None, None], persistent=False)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "ResNet":
        """The network of a file's tensors, as deep as they are; raises KeyError or RuntimeError where they are another network's."""
        blocks = len(list(takewhile(lambda i: f"layer1.{i}.conv1.weight" in tensors, count())))
        net = cls(blocks, len(tensors["linear.weight"]))
        unseen = {key: value for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}  # some files leave it out
        net.load_state_dict({**unseen, **tensors})
        return net

    def maps(self, images: Tensor) -> list[Tensor]:
        """Its maps (B, C, H', W') after the first layer and each of the three stages."""
        found = [F.relu(self.bn1(self.conv1(((images + 1) / 2 - self.shift) / self.scale)))]
        for stage in (self.layer1, self.layer2, self.layer3):
            found.append(stage(found[-1]))
        return found

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.maps(images)[-1].mean((2, 3))
        return features, self.linear(features)


def resnet_of(path: Path, channels: int) -> ResNet:
    """The network of a file of weights, for pictures of so many channels; raises Problem where it is none, or sees others."""
    try:
        tensors, _ = read_weights(path)
    except (SafetensorError, OSError) as error:
        raise Problem(f"{path} is not a whole safetensors file; give one, or --features cnn") from error
    if channels != 3:
        raise Problem(f"{path.name} sees pictures with 3 channels, the data has {channels}; use --features cnn")
    try:
        return ResNet.from_tensors(tensors)
    except (KeyError, RuntimeError) as error:
        raise Problem(f"{path} does not hold a CIFAR ResNet (conv1, layer1.0.conv1, …, linear); give one, or --features cnn") from error
