"""Our UNet with cross-attention, and diffusers' UNet2DConditionModel as of Stable Diffusion 1 and 2: settings and names of weights, in both directions."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import Problem
from . import unet
from .field import Config, Field, checked, flag, only, refuse_if, several, whole
from .rows import Row, exportable, layer, remade

CLASS = "UNet2DConditionModel"
BLOCKS = {"CrossAttnDownBlock2D": "AttnDownBlock2D", "CrossAttnUpBlock2D": "AttnUpBlock2D"}
PLAIN = ("downsample_type", "upsample_type", "attn_norm_num_groups", "add_attention")  # which it has not
HEADS = Field(8, lambda value: whole(1).takes(value) or several((1,), whole(1)).takes(value), words="a whole number from 1, or one for each level")
FIELDS = {key: field for key, field in unet.FIELDS.items() if key not in (*PLAIN, "num_train_timesteps")} | {
    "in_channels": whole(4), "out_channels": whole(4), "block_out_channels": several((320, 640, 1280, 1280), whole(1)),
    "down_block_types": several((*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"), only("CrossAttnDownBlock2D", "DownBlock2D")),
    "up_block_types": several(("UpBlock2D", *["CrossAttnUpBlock2D"] * 3), only("UpBlock2D", "CrossAttnUpBlock2D")),
    "mid_block_type": only("UNetMidBlock2DCrossAttn"), "only_cross_attention": only(False), "cross_attention_dim": whole(1280),
    "transformer_layers_per_block": only(1), "reverse_transformer_layers_per_block": only(None), "encoder_hid_dim": only(None),
    "encoder_hid_dim_type": only(None), "attention_head_dim": HEADS, "num_attention_heads": only(None), "dual_cross_attention": only(False),
    "use_linear_projection": flag(False), "addition_embed_type": only(None), "upcast_attention": flag(False),
    "resnet_skip_time_act": only(False), "resnet_out_scale_factor": only(1.0, 1), "time_embedding_act_fn": only(None),
    "timestep_post_act": only(None), "time_cond_proj_dim": only(None), "conv_in_kernel": only(3), "conv_out_kernel": only(3),
    "attention_type": only("default"), "class_embeddings_concat": only(False), "mid_block_only_cross_attention": only(None),
    "cross_attention_norm": only(None), "num_class_embeds": only(None),
}  # fmt: skip; upcast_attention is for float16, which is read as float32


def _plain(config: Config) -> dict[str, Any]:
    """The same network as a UNet2DModel with plain attention, as far as its blocks go."""
    c = checked(unet.FILE, config, FIELDS)
    heads = _heads(c)
    uneven = any(wide % many for wide, many in heads)
    refuse_if(uneven, c, "attention_head_dim block_out_channels", "so many heads (for which it stands) do not divide the channels that attend")
    other = len({many for _, many in heads}) > 1 and len({wide // many for wide, many in heads}) > 1
    refuse_if(other, c, "attention_head_dim block_out_channels", "heads are neither as many nor as wide at every level, as they are in fromnoise's unet")
    down, up = ([BLOCKS.get(kind, kind) for kind in c[key]] for key in ("down_block_types", "up_block_types"))
    own = {"attention_head_dim": None, "attn_norm_num_groups": c["norm_num_groups"], "add_attention": True}
    return c | own | {"down_block_types": down, "up_block_types": up}


def _heads(c: Config) -> list[tuple[int, int]]:
    """(channels, heads) of each level that attends, and of the middle; attention_head_dim counts heads there, whatever its name."""
    widths, many = list(c["block_out_channels"]), c["attention_head_dim"]
    every = [many] * len(widths) if isinstance(many, int) else list(many)
    refuse_if(len(every) != len(widths), c, "attention_head_dim block_out_channels", "are of different numbers of levels; restore the file")
    return [pair for pair, kind in zip(zip(widths, every, strict=True), c["down_block_types"], strict=False) if kind in BLOCKS] + [(widths[-1], every[-1])]


def network(config: Config) -> dict[str, Any]:
    """The node of our network that is a UNet2DConditionModel of this config.json; raises Problem where there is none."""
    c = checked(unet.FILE, config, FIELDS)
    node = {key: value for key, value in unet.node_of(_plain(config)).items() if key != "head"}
    (wide, many), *others = _heads(c)
    return node | {"context_dim": c["cross_attention_dim"]} | ({"heads": many} if all(n == many for _, n in others) else {"head": wide // many})


def config(node: Mapping[str, Any], shape: Sequence[int], classes: int, null: bool) -> dict[str, Any]:
    """diffusers' config.json of our network; raises Problem where UNet2DConditionModel has no such network."""
    exportable(node, {"place": "cross"}, CLASS)
    net = unet.built(node)
    if net.middle[0].attend is None:
        raise Problem(f"diffusers' {CLASS} attends to words in the middle, this network does not; train with network.middle=true to export")
    plain = unet.config({**node, "context_dim": 0, "heads": None, "head": 2**16, "middle": True}, shape, 0, False)
    middle = net.middle[0].attend.attention.heads
    heads = [stages[0].attend.attention.heads if stages[0].attend is not None else middle for stages in net.down]
    named = {theirs: ours for ours, theirs in BLOCKS.items()}
    own = {key: [named.get(kind, kind) for kind in plain[key]] for key in ("down_block_types", "up_block_types")}
    many = {"attention_head_dim": heads[0] if len(set(heads)) == 1 else heads, "cross_attention_dim": node["context_dim"]}
    return {key: value for key, value in plain.items() if key not in PLAIN} | own | many | {"_class_name": CLASS}


def label(config: Config) -> tuple[int, bool]:
    """How many classes, and whether there is a vector for none of them: it has words in their place."""
    return 0, False


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
