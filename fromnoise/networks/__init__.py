"""Networks: network(x (B, C, *S), clock (B,), context) -> like x. They know nothing of diffusion; `dim` is the width of the vector they can be told."""

from torch import nn

from .adapters.adapter import Adapter, changes, merge
from .adapters.lora import DoRA, LoRA
from .context import NOTHING, Context
from .control import Branch
from .conv import Conv
from .conv_adaln import ConvAdaLN
from .convnext import ConvNeXtUNet
from .dit import DiT
from .layers.axes import lay_weights_last
from .layers.block import Block, recompute
from .layers.dropout import Dropout, set_dropout_keys
from .mlp import MLP, TwoLinear
from .presets import PRESETS
from .unet import UNet
from .uvit import UViT

Network = nn.Module
NETWORKS: dict[str, type[nn.Module]] = {
    "mlp": MLP,
    "two_linear": TwoLinear,
    "conv": Conv,
    "conv_adaln": ConvAdaLN,
    "unet": UNet,
    "convnext_unet": ConvNeXtUNet,
    "dit": DiT,
    "uvit": UViT,
}
ADAPTERS: dict[str, type[Adapter]] = {"lora": LoRA, "dora": DoRA}

__all__ = [
    "ADAPTERS",
    "MLP",
    "NETWORKS",
    "Network",
    "NOTHING",
    "PRESETS",
    "Adapter",
    "Block",
    "Branch",
    "Context",
    "Conv",
    "ConvAdaLN",
    "ConvNeXtUNet",
    "DiT",
    "DoRA",
    "Dropout",
    "LoRA",
    "TwoLinear",
    "UNet",
    "UViT",
    "changes",
    "lay_weights_last",
    "merge",
    "recompute",
    "set_dropout_keys",
]
