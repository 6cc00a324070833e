"""Our UNet with cross-attention, and diffusers' UNet2DConditionModel in the shape of Stable Diffusion 1: settings and names of weights."""

from collections.abc import Mapping
from typing import Any

from ..errors import Problem
from . import unet
from .rows import Row, known, layer, remade

CLASS = "UNet2DConditionModel"
BLOCKS = {"CrossAttnDownBlock2D": "AttnDownBlock2D", "CrossAttnUpBlock2D": "AttnUpBlock2D", "UNetMidBlock2DCrossAttn": "UNetMidBlock2D"}
FIXED = {
    "transformer_layers_per_block": (1, None), "conv_in_kernel": (3,), "conv_out_kernel": (3,), "num_attention_heads": (None,),
    "encoder_hid_dim": (None,), "addition_embed_type": (None,), "time_cond_proj_dim": (None,), "timestep_post_act": (None,),
    "dual_cross_attention": (False,), "only_cross_attention": (False,), "upcast_attention": (False, None), "cross_attention_norm": (None,),
    "class_embeddings_concat": (False, None), "resnet_skip_time_act": (False, None),
}  # fmt: skip
DEFAULTS = {
    "in_channels": 4, "out_channels": 4, "block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 1280, "attention_head_dim": 8,
    "down_block_types": (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"), "up_block_types": ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
}  # fmt: skip


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same network as a UNet2DModel with plain attention, as far as its blocks go."""
    c = {**DEFAULTS, **config}
    known(c, FIXED, "unet")
    for key in ("attention_head_dim", "cross_attention_dim", "layers_per_block"):
        if key in c and not isinstance(c[key], int):
            raise Problem(f"config.json: {key} {c[key]!r} differs by level, which fromnoise's unet does not do")
    down, up = ([BLOCKS.get(kind, kind) for kind in c[key]] for key in ("down_block_types", "up_block_types"))
    c |= {"down_block_types": down, "up_block_types": up, "mid_block_type": BLOCKS.get(c["mid_block_type"], c["mid_block_type"])}
    return c | {"attention_head_dim": None, "attn_norm_num_groups": None}


def network(config: Mapping[str, Any]) -> dict[str, Any]:
    """The node of our network that is a UNet2DConditionModel of this config.json; raises Problem where there is none."""
    c = {**DEFAULTS, **config}
    node = {key: value for key, value in unet.network(_plain(config)).items() if key != "head"}
    return node | {"context_dim": c["cross_attention_dim"], "heads": c["attention_head_dim"]}  # which there counts heads, whatever its name


def rows(config: Mapping[str, Any]) -> list[Row]:
    """The map of weights of a UNet2DConditionModel of this config.json."""
    flat = not config.get("use_linear_projection", False)  # convolutions of one pixel where we have linear layers

    def attend(ours: str, theirs: str) -> list[Row]:
        a, b = f"{ours}.attend", f"{theirs}.transformer_blocks.0"
        found = layer(f"{a}.norm", f"{theirs}.norm")
        for name in ("proj_in", "proj_out"):
            weight, bias = layer(f"{a}.{name}", f"{theirs}.{name}")
            found += [remade(weight, lambda w: w.flatten(1), lambda w: w[:, :, None, None]) if flat else weight, bias]
        found += [row for i in (1, 2, 3) for row in layer(f"{a}.norm{i}", f"{b}.norm{i}")]
        found += layer(f"{a}.attention.qkv", *(f"{b}.attn1.to_{part}" for part in "qkv"), bias=False)
        found += layer(f"{a}.cross.q", f"{b}.attn2.to_q", bias=False)
        found += layer(f"{a}.cross.kv", f"{b}.attn2.to_k", f"{b}.attn2.to_v", bias=False)
        found += [*layer(f"{a}.attention.out", f"{b}.attn1.to_out.0"), *layer(f"{a}.cross.out", f"{b}.attn2.to_out.0")]
        return [*found, *layer(f"{a}.mlp.proj_in", f"{b}.ff.net.0.proj"), *layer(f"{a}.mlp.proj_out", f"{b}.ff.net.2")]

    return unet.rows(_plain(config), attend)
