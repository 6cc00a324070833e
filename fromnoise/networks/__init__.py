"""Networks: network(x (B, C, *S), clock (B,), context) -> like x. They know nothing of diffusion; `dim` is the width of the vector they can be told."""

from torch import nn

from .context import NOTHING, Context
from .conv import Conv
from .mlp import MLP, TwoLinear
from .unet import UNet

NETWORKS: dict[str, type[nn.Module]] = {"mlp": MLP, "two_linear": TwoLinear, "conv": Conv, "unet": UNet}

__all__ = ["MLP", "NETWORKS", "NOTHING", "Context", "Conv", "TwoLinear", "UNet"]
