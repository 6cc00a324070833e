"""Networks: network(x (B, C, *S), t (B,), context) -> like x. They know nothing of diffusion; `Network` is what all of them have."""

from .adapters import Adapter, DoRA, LoRA, changes, merge
from .context import NOTHING, PLACES, Context, ControlHint
from .layers.axes import lay_weights_last
from .layers.dropout import Dropout, set_dropout_keys
from .network import Branch, Compat, Network, recompute
from .presets import PRESETS
from .small import MLP, Conv, ConvAdaLN, TwoLinear
from .transformer import DiT, UViT
from .unet import ConvNeXtUNet, UNet

NETWORKS: dict[str, type[Network]] = {
    "mlp": MLP, "two_linear": TwoLinear, "conv": Conv, "conv_adaln": ConvAdaLN,
    "unet": UNet, "convnext_unet": ConvNeXtUNet, "dit": DiT, "uvit": UViT,
}  # fmt: skip
ADAPTERS: dict[str, type[Adapter]] = {"lora": LoRA, "dora": DoRA}
