"""Our UNet and diffusers' UNet2DModel: settings and names of weights, in both directions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..errors import Problem
from ..networks import Compat, UNet
from .rows import Row, exportable, known, layer, of_network, remade

CLASS = "UNet2DModel"
FIXED = {  # what our UNet has one form of
    "center_input_sample": (False,), "time_embedding_type": ("positional",), "time_embedding_dim": (None,), "class_embed_type": (None,),
    "mid_block_type": ("UNetMidBlock2D",), "mid_block_scale_factor": (1, 1.0), "downsample_type": ("conv",), "upsample_type": ("conv",),
    "act_fn": ("silu", "swish"),
}  # fmt: skip
OURS = {"patch": 1, "axes": 2, "concat": 0, "context_dim": 0, "positions": False, "linear": [], "resample": "conv", "time": "sinusoidal"}
DEFAULTS = {  # diffusers', for what an older config.json leaves out
    "in_channels": 3, "out_channels": 3, "block_out_channels": (224, 448, 672, 896), "layers_per_block": 2, "dropout": 0.0,
    "down_block_types": ("DownBlock2D", *["AttnDownBlock2D"] * 3), "up_block_types": (*["AttnUpBlock2D"] * 3, "UpBlock2D"),
    "add_attention": True, "attention_head_dim": 8, "norm_num_groups": 32, "attn_norm_num_groups": None, "norm_eps": 1e-5,
    "freq_shift": 0, "flip_sin_to_cos": True, "downsample_padding": 1, "resnet_time_scale_shift": "default", "num_class_embeds": None,
}  # fmt: skip
BLOCK = {"norm1": "norm1", "conv1": "conv1", "emb_proj": "time_emb_proj", "norm2": "norm2", "conv2": "conv2", "skip": "conv_shortcut"}
KINDS = ("DownBlock2D", "UpBlock2D", "AttnDownBlock2D", "AttnUpBlock2D")


def network(config: Mapping[str, Any]) -> dict[str, Any]:
    """The node of our network that is a UNet2DModel of this config.json; raises Problem where there is none."""
    known(config, FIXED, "unet")
    c = {**DEFAULTS, **config}
    widths, kinds = list(c["block_out_channels"]), list(c["down_block_types"])
    if c["in_channels"] != c["out_channels"]:
        raise Problem(f"config.json: {c['in_channels']} channels in and {c['out_channels']} out; fromnoise's unet has as many out as in")
    attention = [i for i, kind in enumerate(kinds) if kind == "AttnDownBlock2D"]
    for kind in (*kinds, *c["up_block_types"]):
        if kind not in KINDS:
            raise Problem(f"config.json: a block {kind!r} has no counterpart in fromnoise's unet")
    if [i for i, kind in enumerate(reversed(c["up_block_types"])) if kind == "AttnUpBlock2D"] != attention:
        raise Problem("config.json: other levels attend on the way down than on the way up, which fromnoise's unet does not do")
    scale_shift, groups = c["resnet_time_scale_shift"] == "scale_shift", c["norm_num_groups"]
    if c["add_attention"] and (c["attn_norm_num_groups"] or (None if scale_shift else groups)) != groups:
        raise Problem("config.json: the middle's attention is normalised in other groups (attn_norm_num_groups) than the rest")
    head = c["attention_head_dim"] or max(widths)  # one head at every level
    if head < max(widths) and any(widths[i] % head for i in attention):
        raise Problem(f"config.json: attention_head_dim {head} does not divide the channels that attend")
    return {
        "name": "unet", "width": widths[0], "levels": [wide / widths[0] if wide % widths[0] else wide // widths[0] for wide in widths],
        "blocks": c["layers_per_block"], "attention": attention, "middle": bool(c["add_attention"]), "head": head,
        "scale_shift": scale_shift, "dropout": float(c["dropout"]),
        "compat": {"groups": groups, "eps": float(c["norm_eps"]), "pad_late": c["downsample_padding"] == 0, "shift": int(c["freq_shift"])},
    }  # fmt: skip


def built(node: Mapping[str, Any]) -> UNet:
    """The network of a node, without weights."""
    with torch.device("meta"):
        return UNet(**{key: value for key, value in node.items() if key not in ("name", "compat")}, compat=Compat(**node.get("compat", {})))


def config(node: Mapping[str, Any], shape: Sequence[int], classes: int, null: bool) -> dict[str, Any]:
    """diffusers' config.json of our network; raises Problem where UNet2DModel has no such network. null: the label's table has a row for no class."""
    exportable({**node, "linear": list(node.get("linear", ()))}, OURS, CLASS)
    compat = Compat(**node.get("compat", {}))
    net = built(node)
    widths = [stages[-1].block.conv2.out_channels for stages in net.down]
    found = {m.num_groups for m in net.modules() if isinstance(m, torch.nn.GroupNorm)}
    if len(found) > 1:
        several = ", ".join(map(str, sorted(found)))
        raise Problem(f"this network's norms have {several} groups, diffusers' {CLASS} one number; train with network.compat.groups set")
    attention, middle = list(node.get("attention", ())), net.middle[0].attend is not None
    attending = [m for m in net.modules() if hasattr(m, "heads")]
    heads = {m.qkv.in_features // m.heads for m in attending}
    if len(heads) > 1 and any(m.heads > 1 for m in attending):
        what = "attention heads of several widths have no counterpart in UNet2DModel"
        raise Problem(f"{what}; set network.head to a divisor of all levels' channels")
    scale_shift, (groups,) = bool(node.get("scale_shift", True)), found
    return {
        "_class_name": CLASS, "sample_size": shape[1] if shape[1] == shape[2] else list(shape[1:]),
        "in_channels": shape[0], "out_channels": shape[0], "num_class_embeds": classes + null or None,
        "block_out_channels": widths, "layers_per_block": node.get("blocks", 2), "dropout": node.get("dropout", 0.0),
        "down_block_types": ["AttnDownBlock2D" if i in attention else "DownBlock2D" for i in range(len(widths))],
        "up_block_types": ["AttnUpBlock2D" if i in attention else "UpBlock2D" for i in reversed(range(len(widths)))],
        "add_attention": middle, "attention_head_dim": (heads.pop() if len(heads) == 1 else None) if attending else 8,
        "resnet_time_scale_shift": "scale_shift" if scale_shift else "default",
        "norm_num_groups": groups, "attn_norm_num_groups": groups if scale_shift else None,
        "norm_eps": 1e-5 if compat.eps is None else compat.eps, "downsample_padding": 0 if compat.pad_late else 1,
        "freq_shift": compat.shift, "flip_sin_to_cos": True,
    }  # fmt: skip


def _attend(ours: str, theirs: str) -> list[Row]:
    qkv = layer(f"{ours}.attend.qkv", *(f"{theirs}.to_{part}" for part in "qkv"))
    return [*layer(f"{ours}.attend.norm", f"{theirs}.group_norm"), *qkv, *layer(f"{ours}.attend.out", f"{theirs}.to_out.0")]


def rows(config: Mapping[str, Any], attend: Callable[[str, str], list[Row]] = _attend) -> list[Row]:
    """The map of weights of a UNet2DModel of this config.json; `attend` maps an attention block of ours to one of theirs."""
    c = {**DEFAULTS, **config}
    net, blocks = built(network(c)), c["layers_per_block"]

    def stage(ours: str, theirs: str, j: int) -> list[Row]:
        part = net.get_submodule(ours)
        parts = {name: their for name, their in BLOCK.items() if not isinstance(getattr(part.block, name), torch.nn.Identity)}
        found = [row for name, their in parts.items() for row in layer(f"{ours}.block.{name}", f"{theirs}.resnets.{j}.{their}")]
        return found + (attend(ours, f"{theirs}.attentions.{j}") if part.attend is not None else [])

    first, second = (layer(f"time_embedding.mlp.{i}", f"time_embedding.linear_{j}") for i, j in ((0, 1), (2, 2)))
    if not c["flip_sin_to_cos"]:  # sines before cosines
        swap = lambda weight: torch.cat(weight.chunk(2, 1)[::-1], 1)  # noqa: E731
        first[0] = remade(first[0], swap, swap)
    found = [*first, *second, *layer("conv_in", "conv_in"), *layer("conv_out.0", "conv_norm_out"), *layer("conv_out.2", "conv_out")]
    for i in range(len(net.down)):
        found += [row for j in range(blocks) for row in stage(f"down.{i}.{j}", f"down_blocks.{i}", j)]
        found += [row for j in range(blocks + 1) for row in stage(f"up.{i}.{j}", f"up_blocks.{i}", j)]
    for i in range(len(net.downsample)):
        found += layer(f"downsample.{i}.conv", f"down_blocks.{i}.downsamplers.0.conv")
        found += layer(f"upsample.{i}.conv", f"up_blocks.{i}.upsamplers.0.conv")
    found += [row for j in range(2) for row in stage(f"middle.{j}", "mid_block", j)]
    return of_network(found) + ([Row("conditions.label.embed.weight", ("class_embedding.weight",))] if c["num_class_embeds"] else [])


def label(config: Mapping[str, Any]) -> tuple[int, bool]:
    """How many classes, and whether there is a vector for none of them."""
    return config.get("num_class_embeds") or 0, False
