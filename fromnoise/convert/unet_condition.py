"""Our UNet with cross-attention, and diffusers' UNet2DConditionModel in the shape of Stable Diffusion 1: settings and names of weights."""

from typing import Any

from . import unet
from .field import Config, checked, flag, only, refuse_if, several, whole
from .rows import Row, layer, remade

CLASS = "UNet2DConditionModel"
BLOCKS = {"CrossAttnDownBlock2D": "AttnDownBlock2D", "CrossAttnUpBlock2D": "AttnUpBlock2D"}
PLAIN = ("downsample_type", "upsample_type", "attn_norm_num_groups", "add_attention")  # which it has not
FIELDS = {key: field for key, field in unet.FIELDS.items() if key not in (*PLAIN, "num_train_timesteps")} | {
    "in_channels": whole(4), "out_channels": whole(4), "block_out_channels": several((320, 640, 1280, 1280), whole(1)),
    "down_block_types": several((*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"), only("CrossAttnDownBlock2D", "DownBlock2D")),
    "up_block_types": several(("UpBlock2D", *["CrossAttnUpBlock2D"] * 3), only("UpBlock2D", "CrossAttnUpBlock2D")),
    "mid_block_type": only("UNetMidBlock2DCrossAttn"), "only_cross_attention": only(False), "cross_attention_dim": whole(1280),
    "transformer_layers_per_block": only(1), "reverse_transformer_layers_per_block": only(None), "encoder_hid_dim": only(None),
    "encoder_hid_dim_type": only(None), "attention_head_dim": whole(8), "num_attention_heads": only(None), "dual_cross_attention": only(False),
    "use_linear_projection": flag(False), "addition_embed_type": only(None), "upcast_attention": only(False, None),
    "resnet_skip_time_act": only(False), "resnet_out_scale_factor": only(1.0, 1), "time_embedding_act_fn": only(None),
    "timestep_post_act": only(None), "time_cond_proj_dim": only(None), "conv_in_kernel": only(3), "conv_out_kernel": only(3),
    "attention_type": only("default"), "class_embeddings_concat": only(False), "mid_block_only_cross_attention": only(None),
    "cross_attention_norm": only(None),
}  # fmt: skip


def _plain(config: Config) -> dict[str, Any]:
    """The same network as a UNet2DModel with plain attention, as far as its blocks go."""
    c = checked(unet.FILE, config, FIELDS)
    attending = [wide for wide, kind in zip(c["block_out_channels"], c["down_block_types"], strict=False) if kind in BLOCKS]
    uneven = any(wide % c["attention_head_dim"] for wide in [*attending, c["block_out_channels"][-1]])
    refuse_if(uneven, c, "attention_head_dim block_out_channels", "so many heads (for which it stands) do not divide the channels that attend")
    down, up = ([BLOCKS.get(kind, kind) for kind in c[key]] for key in ("down_block_types", "up_block_types"))
    own = {"attention_head_dim": None, "attn_norm_num_groups": c["norm_num_groups"], "add_attention": True}
    return c | own | {"down_block_types": down, "up_block_types": up}


def network(config: Config) -> dict[str, Any]:
    """The node of our network that is a UNet2DConditionModel of this config.json; raises Problem where there is none."""
    c = checked(unet.FILE, config, FIELDS)
    node = {key: value for key, value in unet.node_of(_plain(config)).items() if key != "head"}
    return node | {"context_dim": c["cross_attention_dim"], "heads": c["attention_head_dim"]}  # which there counts heads, whatever its name


def rows(config: Config) -> list[Row]:
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

    return unet.rows_of(_plain(config), attend)
