"""Networks: network(x (B, C, *S), t (B,), context) -> like x. They know nothing of diffusion; `Network` is what all of them have."""

from .adapters import Adapter, DoRA, Frozen, LoRA, changes, merge
from .context import NOTHING, PLACES, Context, ControlHint
from .control import Branch
from .conv import Conv
from .conv_adaln import ConvAdaLN
from .convnext import ConvNeXtUNet
from .dit import DiT
from .layers.axes import lay_weights_last
from .layers.block import recompute
from .layers.dropout import Dropout, set_dropout_keys
from .mlp import MLP, TwoLinear
from .network import Compat, Network, held
from .presets import PRESETS
from .set_transformer import SetTransformer
from .unet import UNet
from .uvit import UViT

NETWORKS: dict[str, type[Network]] = {
    "mlp": MLP, "two_linear": TwoLinear, "conv": Conv, "conv_adaln": ConvAdaLN,
    "unet": UNet, "convnext_unet": ConvNeXtUNet, "dit": DiT, "uvit": UViT, "set_transformer": SetTransformer,
}  # fmt: skip
ADAPTERS: dict[str, type[Adapter]] = {"lora": LoRA, "dora": DoRA, "frozen": Frozen}
