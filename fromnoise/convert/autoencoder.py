"""Our autoencoders and diffusers' AutoencoderKL, AutoencoderTiny and VQModel: settings and names of weights, in both directions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..autoencoders import AUTOENCODERS, KL, VQ, EncoderDecoder, Tiny
from ..autoencoders.kl import Downsample, ResBlock
from ..autoencoders.vq import Codebook
from ..errors import Problem, Usage
from ..files import vacant
from ..networks.layers.attention import SelfAttention
from ..runs import misfit
from . import weights
from .field import SIZE, Config, Field, checked, flag, number, off, only, refuse_if, several, whole
from .rows import Row, exportable, layer, to_ours, to_theirs
from .unet import BLOCK

FILE = "config.json"
PLACES = ("", "vae", "vqvae", "movq")  # where a folder has its autoencoder: itself, or a pipeline's part
PLAIN, ATTENDS = ("DownEncoderBlock2D", "UpDecoderBlock2D"), ("AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D")
COUNT = Field(1, lambda value: type(value) is int and value >= 0, words="a whole number from 0")
MOMENTS = Field(None, lambda value: value is None or several((0.0,), number(0.0)).takes(value), words="None, or a number for each channel")
SHARED = {  # of AutoencoderKL and VQModel, with diffusers' defaults; force_upcast is for float16, which is read as float32
    "in_channels": whole(3), "out_channels": whole(3), "down_block_types": several(PLAIN[:1], only(PLAIN[0], ATTENDS[0])),
    "up_block_types": several(PLAIN[1:], only(PLAIN[1], ATTENDS[1])), "block_out_channels": several((64,), whole(1)), "layers_per_block": whole(1),
    "act_fn": only("silu", "swish"), "norm_num_groups": whole(32), "sample_size": replace(SIZE, default=32), "scaling_factor": number(0.18215, above=0),
    "mid_block_add_attention": flag(True), "force_upcast": flag(True),
}  # fmt: skip
KL_FIELDS = SHARED | {
    "latent_channels": whole(4), "shift_factor": Field(None, lambda value: value is None or number(0.0).takes(value), words="None or a number"),
    "latents_mean": MOMENTS, "latents_std": MOMENTS, "use_quant_conv": flag(True), "use_post_quant_conv": flag(True),
}  # fmt: skip
VQ_FIELDS = SHARED | {
    "latent_channels": whole(3), "num_vq_embeddings": whole(256), "vq_embed_dim": whole(None), "norm_type": only("group"),
    "lookup_from_codebook": flag(False), "force_upcast": flag(False),  # the first is for those who hand over codes by number
}  # fmt: skip
SIDE = several((64, 64, 64, 64), whole(1))
TINY_FIELDS = {  # latent_magnitude and latent_shift are of its `forward`, which makes bytes of latents; block_out_channels a copy of the decoder's
    "in_channels": whole(3), "out_channels": whole(3), "encoder_block_out_channels": SIDE, "decoder_block_out_channels": SIDE,
    "block_out_channels": SIDE, "act_fn": only("relu"), "upsample_fn": only("nearest"), "latent_channels": whole(4),
    "upsampling_scaling_factor": only(2), "num_encoder_blocks": several((1, 3, 3, 3), COUNT), "num_decoder_blocks": several((3, 3, 3, 1), COUNT),
    "latent_magnitude": number(3), "latent_shift": number(0.5), "force_upcast": flag(False), "scaling_factor": number(1.0, above=0),
    "shift_factor": number(0.0),
}  # fmt: skip


class Scale(NamedTuple):
    """What a published model's latents are made of unit size by, z_model = (z - mean) / std, one number of each or one for every channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


UNSCALED = Scale((0.0,), (1.0,))


class Taken(NamedTuple):
    """An autoencoder of another library: its folder, node, the examples' channels, its weights by our names, its scale, what is to be said of it; and
    the channels of its latents, and how many places a side are one of them."""

    path: Path
    node: dict[str, Any]
    channels: int
    tensors: dict[str, Tensor]
    scale: Scale
    notes: tuple[str, ...]
    latent: int
    factor: int


@dataclass(frozen=True)
class Kind:
    """A class of theirs: its name, its fields, ours, and how one's configuration becomes the other's."""

    name: str
    fields: Mapping[str, Field]
    ours: type[EncoderDecoder]
    node: Callable[[Config], dict[str, Any]]
    config: Callable[[Any], dict[str, Any]]
    rows: Callable[[Any], list[Row]]


class Stage(NamedTuple):
    """An autoencoder to write beside a network: its node, the examples' channels, its weights, and the scale of what the network works on."""

    node: Mapping[str, Any]
    channels: int
    tensors: Mapping[str, Tensor]
    scale: Scale


def read(path: str | Path) -> Taken:
    """The autoencoder of a folder in diffusers' layout, its own or a pipeline's; raises Problem where it is none that we have."""
    place = next((Path(path) / part for part in PLACES if is_autoencoder(Path(path) / part)), None)
    if place is None:
        known = ", ".join(KINDS)
        raise Usage(f"{path} holds no autoencoder: no {FILE} there, or in {', '.join(PLACES[1:])}, is of a class that fromnoise has; known are {known}")
    config = weights.read_json(place / FILE)
    kind = KINDS[config["_class_name"]]
    c = checked(FILE, config, kind.fields, ())
    refuse_if(c["in_channels"] != c["out_channels"], c, "in_channels out_channels", "fromnoise's have as many channels out as in")
    node, (tensors, notes) = kind.node(c), weights.read(place)
    autoencoder = built(kind, node, c["in_channels"])
    named = to_ours(kind.rows(autoencoder), tensors)
    if wrong := misfit(autoencoder.state_dict(), named):
        raise Problem(f"{place}: {FILE} and the weights do not belong together: {wrong}")
    said = (*notes, *off(FILE, config, kind.fields, ()))
    return Taken(place, node, c["in_channels"], named, scale(c), said, autoencoder.latent, autoencoder.factor)


def is_autoencoder(folder: str | Path) -> bool:
    """Whether a folder has the files of an autoencoder that we have, its own and no part's."""
    file = Path(folder) / FILE
    return file.is_file() and weights.read_json(file).get("_class_name") in KINDS


def write(path: str | Path, node: Mapping[str, Any], channels: int, tensors: Mapping[str, Tensor], scale: Scale = UNSCALED) -> str:
    """Writes an autoencoder's node and weights as a folder in diffusers' layout; the class that reads it. Raises Problem where diffusers has none."""
    kind = next((kind for kind in KINDS.values() if kind.ours is AUTOENCODERS.get(node["name"])), None)
    if kind is None:
        raise Problem(f"diffusers has no counterpart of the autoencoder {node['name']}; exported can be kl, tiny, vq")
    exportable(node, {"axes": 2}, kind.name)
    autoencoder = built(kind, node, channels)
    config = {"_class_name": kind.name, "in_channels": channels, "out_channels": channels, **kind.config(autoencoder), **scaled(kind, scale)}
    named, path = to_theirs(kind.rows(autoencoder), tensors), vacant(path)
    weights.write_json(path / FILE, config)
    weights.write(path / f"{weights.NAME}.safetensors", named)
    return kind.name


def folded(stage: Stage) -> Stage:
    """The same latents for a pipeline, which only divides them by scaling_factor: a mean, or a std of each channel, goes into the convolutions of one pixel
    before and behind them. Raises Problem where there are none, or codes lie between."""
    (mean, std), tensors = (tuple(map(float, part)) for part in stage.scale), dict(stage.tensors)
    if not any(mean) and len(set(std)) == 1:
        return stage._replace(scale=Scale((0.0,), std[:1]))
    names = {half: f"{half}.quant" for half in ("encoder", "decoder")}
    if AUTOENCODERS.get(stage.node["name"]) is not KL or any(f"{name}.weight" not in tensors for name in names.values()):
        what = f"this run's latents, of a {stage.node['name']}, have a mean and std of each channel"
        raise Problem(f"diffusers' pipelines scale latents by one number, and {what}; train on those of a kl with quant and post_quant to export")
    many = stage.tensors["decoder.quant.weight"].shape[1]
    m, s = (torch.tensor(part).expand(many).double() if len(part) == 1 else torch.tensor(part).double() for part in (mean, std))
    (w, b), (v, c) = ([tensors[f"{name}.{part}"].double() for part in ("weight", "bias")] for name in names.values())
    ones = [1] * (w.ndim - 1)
    made = {"encoder.quant.weight": torch.cat([w[:many] / s.view(-1, *ones), w[many:]]), "decoder.quant.weight": v * s.view(1, -1, *ones[1:]),
            "encoder.quant.bias": torch.cat([(b[:many] - m) / s, b[many:] - 2 * s.log()]), "decoder.quant.bias": c + v.flatten(1) @ m}  # fmt: skip
    return stage._replace(tensors=tensors | {name: tensor.to(tensors[name]) for name, tensor in made.items()}, scale=UNSCALED)


def built(kind: Kind, node: Mapping[str, Any], channels: int) -> EncoderDecoder:
    """The autoencoder of a node, without weights."""
    with torch.device("meta"):
        return kind.ours(channels=channels, **{key: value for key, value in node.items() if key != "name"})


def scale(c: Config) -> Scale:
    """The mean and standard deviation that a configuration tells of its latents; in pipelines z_model = (z - mean) scaling_factor / std."""
    mean, std, shift = c.get("latents_mean"), c.get("latents_std"), c.get("shift_factor")
    refuse_if((mean is None) != (std is None), c, "latents_mean latents_std", "one is told without the other; restore the file")
    refuse_if(shift and mean is not None, c, "shift_factor latents_mean", "both are told, and which of them counts is not; leave one out")
    for key in ("latents_mean", "latents_std") if mean is not None else ():
        refuse_if(len(c[key]) != c["latent_channels"], c, f"{key} latent_channels", "are of different numbers of channels; restore it")
    refuse_if(std is not None and min(std) <= 0, c, "latents_std", "is not above 0; restore the file")
    return Scale(tuple(map(float, mean or (shift or 0.0,))), tuple(float(value) / c["scaling_factor"] for value in std or (1.0,)))


def scaled(kind: Kind, scale: Scale) -> dict[str, Any]:
    """The fields that say so; raises Problem where the class has none that could."""
    mean, std = scale
    if len(set(mean)) == len(set(std)) == 1:
        fields = {"scaling_factor": 1 / std[0]} | ({"shift_factor": mean[0]} if mean[0] else {})
    else:
        many = max(len(mean), len(std))
        fields = {"scaling_factor": 1.0} | {f"latents_{name}": list(part) * (many // len(part)) for name, part in (("mean", mean), ("std", std))}
    if lacking := [key for key in fields if key not in kind.fields]:
        raise Problem(f"diffusers' {kind.name} has no {', '.join(lacking)}; scale its latents by one standard deviation alone to export it")
    return fields


def _levels(c: Config) -> dict[str, Any]:
    """The settings that kl and vq share."""
    widths, down, up = (list(c[key]) for key in ("block_out_channels", "down_block_types", "up_block_types"))
    odd = not len(widths) == len(down) == len(up)
    refuse_if(odd, c, "block_out_channels down_block_types up_block_types", "are of different numbers of levels; restore the file")
    attention, groups = [i for i, kind in enumerate(down) if kind in ATTENDS], c["norm_num_groups"]
    other = [i for i, kind in enumerate(reversed(up)) if kind in ATTENDS] != attention
    refuse_if(other, c, "down_block_types up_block_types", "other levels attend on the way down than on the way up, as none do in fromnoise")
    refuse_if(any(wide % groups for wide in widths), c, "norm_num_groups block_out_channels", "the groups do not divide the channels; restore the file")
    return {
        "width": widths[0], "levels": [wide / widths[0] if wide % widths[0] else wide // widths[0] for wide in widths],
        "blocks": c["layers_per_block"], "attention": attention, "middle": c["mid_block_add_attention"], "groups": groups,
    }  # fmt: skip


def _kl(c: Config) -> dict[str, Any]:
    own = {"latent": c["latent_channels"], "quant": c["use_quant_conv"], "post_quant": c["use_post_quant_conv"]}
    return {"name": "kl", **_levels(c), **own}


def _vq(c: Config) -> dict[str, Any]:
    latent = c["vq_embed_dim"] or c["latent_channels"]
    return {"name": "vq", **_levels(c), "latent": latent, "inner": c["latent_channels"], "codes": c["num_vq_embeddings"]}


def _tiny(c: Config) -> dict[str, Any]:
    widths, (before, behind) = ([*c["encoder_block_out_channels"], *c["decoder_block_out_channels"]], (c[f"num_{s}coder_blocks"] for s in ("en", "de")))
    sides = "encoder_block_out_channels decoder_block_out_channels"
    refuse_if(len(set(widths)) > 1, c, sides, "fromnoise's tiny is equally wide throughout")
    refuse_if(list(before) != list(behind)[::-1], c, "num_encoder_blocks num_decoder_blocks", "fromnoise's tiny decodes in the reverse order")
    refuse_if(len(widths) != 2 * len(before), c, f"{sides} num_encoder_blocks", "are of different numbers of levels; restore the file")
    return {"name": "tiny", "width": widths[0], "blocks": list(before), "latent": c["latent_channels"]}


def _tiny_config(autoencoder: Any) -> dict[str, Any]:
    blocks, width = list(autoencoder.blocks), autoencoder.encoder[0].out_channels
    return {
        "encoder_block_out_channels": [width] * len(blocks), "decoder_block_out_channels": [width] * len(blocks),
        "num_encoder_blocks": blocks, "num_decoder_blocks": blocks[::-1], "latent_channels": autoencoder.latent,
    }  # fmt: skip


def _kl_config(autoencoder: Any) -> dict[str, Any]:
    quant, post = (not isinstance(part.quant, nn.Identity) for part in (autoencoder.encoder, autoencoder.decoder))
    return {**_shared(autoencoder), "latent_channels": autoencoder.latent, "use_quant_conv": quant, "use_post_quant_conv": post}


def _vq_config(autoencoder: Any) -> dict[str, Any]:
    if not isinstance(autoencoder.quantise, Codebook):
        raise Problem("diffusers' VQModel has a codebook and no finite scalars; only a vq without fsq can be exported")
    codes, latent = autoencoder.quantise.embedding.weight.shape
    inner = autoencoder.decoder.conv_in.in_channels
    return {**_shared(autoencoder), "latent_channels": inner, "vq_embed_dim": latent, "num_vq_embeddings": codes}


def _shared(autoencoder: Any) -> dict[str, Any]:
    """The fields that AutoencoderKL and VQModel share."""
    down = autoencoder.encoder.down
    ends = [ATTENDS if any(isinstance(part, SelfAttention) for part in level) else PLAIN for level in down]
    found = {m.num_groups for m in autoencoder.modules() if isinstance(m, nn.GroupNorm)}
    if len(found) > 1:
        numbers = ", ".join(map(str, sorted(found)))
        raise Problem(f"this autoencoder's norms have {numbers} groups, diffusers' one number; train with autoencoder.groups set")
    return {
        "block_out_channels": [level[0].conv2.out_channels for level in down],
        "down_block_types": [down for down, _ in ends], "up_block_types": [up for _, up in reversed(ends)],
        "layers_per_block": sum(isinstance(part, ResBlock) for part in down[0]), "norm_num_groups": found.pop(), "act_fn": "silu",
        "mid_block_add_attention": len(autoencoder.encoder.middle) == 3,
    }  # fmt: skip


def _rows(autoencoder: Any) -> list[Row]:
    """The map of weights of an AutoencoderKL or VQModel."""
    found = []
    for half, side, quant in (("encoder", "down", "quant_conv"), ("decoder", "up", "post_quant_conv")):
        net = autoencoder.get_submodule(half)
        found += [*layer(f"{half}.conv_in", f"{half}.conv_in"), *_stage(net.middle, f"{half}.middle", f"{half}.mid_block")]
        found += [*layer(f"{half}.conv_out.0", f"{half}.conv_norm_out"), *layer(f"{half}.conv_out.2", f"{half}.conv_out")]
        for i, level in enumerate(net.get_submodule(side)):
            found += _stage(level, f"{half}.{side}.{i}", f"{half}.{side}_blocks.{i}")
        found += layer(f"{half}.quant", quant) if not isinstance(net.quant, nn.Identity) else []
    return found


def _stage(level: nn.Sequential, ours: str, theirs: str) -> list[Row]:
    """The map of weights of the blocks of one level, which they number by kind."""
    found, resnets, attentions = [], 0, 0
    for i, part in enumerate(level):
        a = f"{ours}.{i}"
        if isinstance(part, ResBlock):
            names = [name for name, child in part.named_children() if not isinstance(child, nn.Identity)]
            found += [row for name in names for row in layer(f"{a}.{name}", f"{theirs}.resnets.{resnets}.{BLOCK[name]}")]
            resnets += 1
        elif isinstance(part, SelfAttention):
            b = f"{theirs}.attentions.{attentions}"
            found += [*layer(f"{a}.norm", f"{b}.group_norm"), *layer(f"{a}.qkv", *(f"{b}.to_{name}" for name in "qkv"))]
            found += layer(f"{a}.out", f"{b}.to_out.0")
            attentions += 1
        else:
            found += layer(f"{a}.conv", f"{theirs}.{'down' if isinstance(part, Downsample) else 'up'}samplers.0.conv")
    return found


def _vq_rows(autoencoder: Any) -> list[Row]:
    return [*_rows(autoencoder), Row("quantise.embedding.weight", ("quantize.embedding.weight",))]


def _tiny_rows(autoencoder: Any) -> list[Row]:
    return [Row(name, (name.replace("coder.", "coder.layers.", 1),)) for name, _ in autoencoder.named_parameters()]


KINDS = {kind.name: kind for kind in (
    Kind("AutoencoderKL", KL_FIELDS, KL, _kl, _kl_config, _rows), Kind("VQModel", VQ_FIELDS, VQ, _vq, _vq_config, _vq_rows),
    Kind("AutoencoderTiny", TINY_FIELDS, Tiny, _tiny, _tiny_config, _tiny_rows),
)}  # fmt: skip
