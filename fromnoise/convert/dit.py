"""Our DiT and diffusers' DiTTransformer2DModel: settings and names of weights, in both directions."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..errors import Problem
from ..networks import Compat
from .field import SHARE, Config, checked, number, only, refuse_if, whole
from .rows import Row, exportable, layer, of_network, remade, shared

CLASS = "DiTTransformer2DModel"
OURS = {"ratio": 4, "positions": "sincos", "act": "gelu", "qk_norm": False, "context_dim": 0, "axes": 2, "concat": 0, "time": "sinusoidal"}
FIELDS = {  # of DiTTransformer2DModel, with diffusers' defaults
    "num_attention_heads": whole(16), "attention_head_dim": whole(72), "in_channels": whole(4), "out_channels": whole(None), "num_layers": whole(28),
    "dropout": SHARE, "attention_bias": only(True), "sample_size": whole(32), "patch_size": whole(2), "activation_fn": only("gelu-approximate"),
    "num_embeds_ada_norm": whole(1000), "upcast_attention": only(False), "norm_type": only("ada_norm_zero"), "norm_elementwise_affine": only(False),
    "norm_eps": number(1e-5, above=0),
}  # fmt: skip


def network(config: Config) -> dict[str, Any]:
    """The node of our network that is a DiTTransformer2DModel of this config.json; raises Problem where there is none."""
    c = checked("config.json", config, FIELDS)
    more = c["out_channels"] not in (None, c["in_channels"], 2 * c["in_channels"])
    refuse_if(more, c, "in_channels out_channels", "fromnoise takes as many channels out as in, or twice (a variance)")
    refuse_if(c["sample_size"] % c["patch_size"], c, "sample_size patch_size", "diffusers cuts off what the patch does not divide, fromnoise does not")
    width = c["num_attention_heads"] * c["attention_head_dim"]
    refuse_if(width % 4, c, "num_attention_heads attention_head_dim", "positions want a width that 4 divides; restore the file")
    return {
        "name": "dit", "width": width, "depth": c["num_layers"], "heads": c["num_attention_heads"],
        "patch": c["patch_size"], "dropout": float(c["dropout"]), "compat": {"shift": 1, "eps": float(c["norm_eps"])},
    }  # fmt: skip


def config(node: Mapping[str, Any], shape: Sequence[int], classes: int, null: bool) -> dict[str, Any]:
    """diffusers' config.json of our network; raises Problem where DiTTransformer2DModel has no such network. null: the label's table has a row for no class."""
    width, heads, compat = node.get("width", 384), node.get("heads", 6), Compat(**node.get("compat", {}))
    exportable(node, OURS, CLASS)
    if compat.shift != 1:
        raise Problem(f"diffusers' {CLASS} has the time embedding of network.compat.shift=1; train with that to export")
    if shape[1] != shape[2] or shape[1] % node.get("patch", 2):
        raise Problem(f"diffusers' {CLASS} takes squares that the patch divides, not {shape[1]}x{shape[2]}")
    if not null:
        cure = "train with conditions=[{name: label, drop: 0.1}] to export"
        raise Problem(f"diffusers' {CLASS} has classes and a row for none of them; {cure}")
    return {
        "_class_name": CLASS, "num_attention_heads": heads, "attention_head_dim": width // heads, "in_channels": shape[0], "out_channels": shape[0],
        "num_layers": node.get("depth", 12), "dropout": node.get("dropout", 0.0), "sample_size": shape[1], "patch_size": node.get("patch", 2),
        "num_embeds_ada_norm": classes, "norm_eps": 1e-6 if compat.eps is None else compat.eps,
    }  # fmt: skip


def rows(config: Config) -> list[Row]:
    """The map of weights of a DiTTransformer2DModel of this config.json."""
    c = checked("config.json", config, FIELDS)
    channels, patch, depth, out = c["in_channels"], c["patch_size"], c["num_layers"], c["out_channels"] or c["in_channels"]
    weight, bias = layer("proj_in", "pos_embed.proj")
    found = [remade(weight, lambda w: w.flatten(1), lambda w: w.unflatten(1, (channels, patch, patch))), bias]

    def ours(tensor: Tensor) -> Tensor:
        """Rows (p, q, c) as (c, p, q), without those of a learned variance."""
        return tensor.unflatten(0, (patch, patch, out)).movedim(2, 0)[:channels].flatten(0, 2)

    def theirs(tensor: Tensor) -> Tensor:
        if out != channels:
            raise Problem("the variance that this model once learned was not kept; export it with as many channels out as in")
        return tensor.unflatten(0, (channels, patch, patch)).movedim(0, 2).flatten(0, 2)

    found += layer("modulation", "proj_out_1")
    found += [remade(row, ours, theirs) for row in layer("proj_out", "proj_out_2")]
    for i in range(depth):
        a, b = f"blocks.{i}", f"transformer_blocks.{i}"
        found += layer(f"{a}.modulation", f"{b}.norm1.linear")
        found += layer(f"{a}.attention.qkv", *(f"{b}.attn1.to_{part}" for part in "qkv"))
        found += layer(f"{a}.attention.out", f"{b}.attn1.to_out.0")
        found += layer(f"{a}.mlp.proj_in", f"{b}.ff.net.0.proj")
        found += layer(f"{a}.mlp.proj_out", f"{b}.ff.net.2")
    every = [f"transformer_blocks.{i}.norm1.emb" for i in range(depth)]
    for i, their in ((0, "timestep_embedder.linear_1"), (2, "timestep_embedder.linear_2")):
        found += [shared(f"time_embedding.mlp.{i}.{name}", [f"{prefix}.{their}.{name}" for prefix in every]) for name in ("weight", "bias")]
    table = [f"{prefix}.class_embedder.embedding_table.weight" for prefix in every]
    return [*of_network(found), shared("conditions.label.embed.weight", table)]


def label(config: Config) -> tuple[int, bool]:
    """How many classes, and whether there is a vector for none of them."""
    return config["num_embeds_ada_norm"], True
