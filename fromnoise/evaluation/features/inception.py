"""FID's own network, where the user's machine has it."""

import torch
from torch import Tensor

from ...errors import Problem
from .network import FeatureNet


class Inception(FeatureNet):
    """Inception-v3 with FID's weights and resizing; features (B, 2048), no classes. Raises Problem without torch-fidelity (extra `fid`) or weights."""

    name = "Inception-v3 (torch-fidelity)"

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        if shape[0] not in (1, 3):
            raise Problem(f"Inception sees grey or RGB pictures, the data has {shape[0]} channels; use --features cnn")
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # type: ignore
        except (ImportError, RuntimeError) as error:  # a torchvision that does not fit torch raises RuntimeError
            cure = 'pip install "fromnoise[fid]"'
            raise Problem(f"Inception features need torch-fidelity, and a torchvision that fits your torch: {cure}") from error
        try:
            self.net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
        except OSError as error:
            raise Problem(f"cannot get Inception's weights ({error}); go online once, or use --features cnn") from error

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        pixels = images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        return self.net(pixels.expand(-1, 3, -1, -1))[0], None
