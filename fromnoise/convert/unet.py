"""Our UNet and diffusers' UNet2DModel: settings and names of weights, in both directions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..errors import Problem
from ..networks import Compat, UNet
from .field import SHARE, SIZE, Config, checked, flag, number, only, refuse_if, several, whole
from .rows import Row, exportable, layer, of_network, remade

CLASS, FILE = "UNet2DModel", "config.json"
OURS = {"patch": 1, "axes": 2, "concat": 0, "context_dim": 0, "positions": False, "linear": [], "resample": "conv", "time": "sinusoidal"}
BLOCK = {"norm1": "norm1", "conv1": "conv1", "emb_proj": "time_emb_proj", "norm2": "norm2", "conv2": "conv2", "skip": "conv_shortcut"}
KINDS, ATTENDS = ("DownBlock2D", "UpBlock2D", "AttnDownBlock2D", "AttnUpBlock2D"), ("AttnDownBlock2D", "AttnUpBlock2D")
FIELDS = {  # of UNet2DModel, with diffusers' defaults
    "sample_size": SIZE, "in_channels": whole(3), "out_channels": whole(3), "center_input_sample": only(False),
    "time_embedding_type": only("positional"), "time_embedding_dim": only(None), "freq_shift": only(0, 1), "flip_sin_to_cos": flag(True),
    "down_block_types": several(("DownBlock2D", *["AttnDownBlock2D"] * 3), only(*KINDS[::2])), "mid_block_type": only("UNetMidBlock2D"),
    "up_block_types": several((*["AttnUpBlock2D"] * 3, "UpBlock2D"), only(*KINDS[1::2])),
    "block_out_channels": several((224, 448, 672, 896), whole(1, 2)), "layers_per_block": whole(2), "mid_block_scale_factor": only(1, 1.0),
    "downsample_padding": only(1, 0), "downsample_type": only("conv"), "upsample_type": only("conv"), "dropout": SHARE,
    "act_fn": only("silu", "swish"), "attention_head_dim": replace(whole(None), default=8), "norm_num_groups": whole(32),
    "attn_norm_num_groups": whole(None), "norm_eps": number(1e-5, above=0), "resnet_time_scale_shift": only("default", "scale_shift"),
    "add_attention": flag(True), "class_embed_type": only(None), "num_class_embeds": whole(None),
}  # fmt: skip


def network(config: Config) -> dict[str, Any]:
    """The node of our network that is a UNet2DModel of this config.json; raises Problem where there is none."""
    return node_of(checked(FILE, config, FIELDS))


def node_of(c: Config) -> dict[str, Any]:
    """The node of our network whose fields, each of which it takes, are these; raises Problem where they do not go together."""
    widths, down, up = (list(c[key]) for key in ("block_out_channels", "down_block_types", "up_block_types"))
    attention, groups, head = [i for i, kind in enumerate(down) if kind in ATTENDS], c["norm_num_groups"], c["attention_head_dim"]
    scale_shift = c["resnet_time_scale_shift"] == "scale_shift"
    own = c["attn_norm_num_groups"] or (None if scale_shift else groups)
    odd = not len(widths) == len(down) == len(up)
    refuse_if(c["in_channels"] != c["out_channels"], c, "in_channels out_channels", "fromnoise's unet has as many channels out as in")
    refuse_if(odd, c, "block_out_channels down_block_types up_block_types", "are of different numbers of levels; restore the file")
    other = [i for i, kind in enumerate(reversed(up)) if kind in ATTENDS] != attention
    refuse_if(other, c, "down_block_types up_block_types", "other levels attend on the way down than on the way up, as none do in fromnoise's unet")
    refuse_if(any(wide % groups for wide in widths), c, "norm_num_groups block_out_channels", "the groups do not divide the channels; restore the file")
    why = "the middle's attention is normalised in other groups than the rest, or not at all, as in no unet of fromnoise"
    refuse_if(c["add_attention"] and own != groups, c, "attn_norm_num_groups norm_num_groups resnet_time_scale_shift", why)
    attending = [widths[i] for i in attention] + [widths[-1]] * c["add_attention"]
    uneven = head is not None and any(wide % head for wide in attending)
    refuse_if(uneven, c, "attention_head_dim block_out_channels", "a head's channels do not divide those of the levels that attend")
    return {
        "name": "unet", "width": widths[0], "levels": [wide / widths[0] if wide % widths[0] else wide // widths[0] for wide in widths],
        "blocks": c["layers_per_block"], "attention": attention, "middle": c["add_attention"], "head": head or max(widths),  # one at every level
        "scale_shift": scale_shift, "dropout": float(c["dropout"]),
        "compat": {"groups": groups, "eps": float(c["norm_eps"]), "pad_late": c["downsample_padding"] == 0, "shift": c["freq_shift"]},
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
    if any(n % 2 ** (len(widths) - 1) for n in shape[1:]):
        what = f"halves pictures {len(widths) - 1} times without a rest, and {shape[1]}x{shape[2]} leaves one"
        raise Problem(f"diffusers' {CLASS} {what}; train on another data.size to export")
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


def rows(config: Config) -> list[Row]:
    """The map of weights of a UNet2DModel of this config.json."""
    return rows_of(checked(FILE, config, FIELDS), _attend)


def rows_of(c: Config, attend: Callable[[str, str], list[Row]]) -> list[Row]:
    """The map of weights of a UNet of these fields; `attend` maps an attention block of ours to one of theirs."""
    net, blocks = built(node_of(c)), c["layers_per_block"]

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


def label(config: Config) -> tuple[int, bool]:
    """How many classes, and whether there is a vector for none of them."""
    return config["num_class_embeds"] or 0, False
