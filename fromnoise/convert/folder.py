"""Folders in diffusers' layout: what is in them, read and written without executing anything."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..diffusion import Schedule
from ..errors import Problem, Usage
from ..files import replacing, vacant
from . import dit, process, scheduler, unet, unet_condition
from .field import checked, refuse_if
from .rows import to_ours, to_theirs

Settings = Mapping[str, Any]
KINDS = {unet.CLASS: unet, dit.CLASS: dit}
NETWORKS = {"unet": unet, "dit": dit}  # ours
PLACES = {unet.CLASS: "unet", dit.CLASS: "transformer"}
PIPELINES = {"DDPMScheduler": "DDPMPipeline", "DDIMScheduler": "DDIMPipeline"}  # of a UNet2DModel; DiTPipeline wants an autoencoder as well
WEIGHTS = "diffusion_pytorch_model"
AUTOENCODERS = ("vae", "vqvae", "vqgan", "movq")  # parts of a pipeline
ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # before diffusers 0.17: after


@dataclass(frozen=True)
class Taken:
    """A model taken from another library: a run's settings, and its weights under our names."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]


def is_foreign(path: str | Path) -> bool:
    """Whether a folder is laid out as diffusers does it."""
    path = Path(path)
    return (path / "model_index.json").is_file() or ((path / "config.json").is_file() and not (path / "config.yaml").is_file())


def read(path: str | Path) -> Taken:
    """The model of a folder in diffusers' layout, a pipeline's or a network's; raises Problem where it is none that we have."""
    path = Path(path)
    if not is_foreign(path):
        what = "is not there" if not path.exists() else "holds neither model_index.json nor config.json"
        raise Usage(f"{path} {what}; give a folder as diffusers' save_pretrained writes it")
    home = next((folder for folder in (path, path.parent) if (folder / "model_index.json").is_file()), path)  # the pipeline's
    index = _json(home / "model_index.json", True)
    _check_pixels(path, index)
    parts = [*PLACES.values(), "."] if home == path else ["."]  # older pipelines have all files in the root
    place = next((path / part for part in parts if (path / part / "config.json").is_file()), None)
    if place is None:
        raise Problem(f"{path} has none of the parts {', '.join(PLACES.values())}; the pipeline is of a kind that fromnoise has not")
    config = _json(place / "config.json")
    kind = config.get("_class_name")
    if kind == unet_condition.CLASS:
        raise Problem(f"{place} works on an autoencoder's latents, which fromnoise does not read yet; see `convert.unet_condition`")
    if kind not in KINDS:
        raise Problem(f"{place} is a {kind or 'network without a name'}, which fromnoise has not; known are {', '.join(KINDS)}")
    part = KINDS[kind]
    drawn = scheduler.read(_scheduler(home, index))
    network = part.network(config)
    config = checked("config.json", config, part.FIELDS)
    classes, null = part.label(config)
    own = _json(home / "fromnoise.json", True)
    if own.get("null") and not null and classes:
        classes, null = classes - 1, True
    size = config["sample_size"]
    refuse_if(size is None, config, "sample_size", "says nothing of the pictures' size; write it into the file, such as 32")
    shape = [config["in_channels"], *([size, size] if isinstance(size, int) else size)]
    names = own.get("classes") or _names(home, classes)
    conditions = [{"name": "label", "classes": classes, "drop": 0.1 if null else 0.0}] if classes else []
    taken = {"network": network, "conditions": conditions, **drawn, "seed": 0, "shape": shape, "classes": names}
    return Taken(taken, to_ours(part.rows(config), newer(_tensors(place))))


def _check_pixels(path: Path, index: Settings) -> None:
    """Raises Problem where a pipeline's network works on the latents of an autoencoder."""
    if first := next((name for name in AUTOENCODERS if index.get(name) and index[name] != [None, None]), None):
        what = f"the network of {index.get('_class_name', 'this pipeline')} works on the latents of its {first}"
        raise Problem(f"{path}: {what}, which fromnoise does not read yet; take a pipeline that works on pixels")


def _scheduler(path: Path, index: Settings) -> dict[str, Any]:
    """The scheduler_config.json of a pipeline, with the class that its index names; of a network alone DDPM's defaults."""
    files = [path / "scheduler" / "scheduler_config.json", path / "scheduler_config.json"]
    file = next((file for file in files if file.is_file()), None)
    if file is None and index.get("scheduler"):
        raise Problem(f"{files[0]} is missing; download the folder whole")
    named = index.get("scheduler")
    kind = {"_class_name": named[1]} if isinstance(named, list) and len(named) == 2 and named[1] else {}
    return kind | (_json(file) if file else {})


def newer(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names of today, where an older file calls the parts of attention query, key, value and proj_attn."""

    def name(old: str) -> str:
        *above, part, kind = old.split(".") if ".attentions." in f".{old}" else ("", old)
        return ".".join([*above, ATTENTION.get(part, part), kind]) if above else old

    return {name(key): tensor for key, tensor in tensors.items()}


def write(path: str | Path, config: Mapping[str, Any], node: Mapping[str, Any], tensors: Mapping[str, Tensor], schedule: Schedule) -> str:
    """A run in diffusers' layout; the class of the pipeline that reads it, or of the network where there is none.

    config: the run's settings;  node: its network's, written out;  tensors: its weights. Raises Problem where diffusers has no such model.
    """
    path = vacant(path)
    part, theirs, null = counterpart(config, node, tensors)
    noise, _ = process.write(config, schedule)
    weights = to_theirs(part.rows(theirs), tensors)
    pipeline = PIPELINES[noise["_class_name"]] if part is unet else None
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:  # whole, or not at all
        whole = Path(beside) / path.name
        place = whole / PLACES[part.CLASS]
        _write_json(place / "config.json", theirs)
        write_weights(place / f"{WEIGHTS}.safetensors", weights)
        _write_json(whole / "scheduler" / "scheduler_config.json", noise)
        _write_json(whole / "fromnoise.json", {"null": null, "classes": list(config.get("classes") or ())})
        if pipeline:
            parts = {PLACES[part.CLASS]: ["diffusers", part.CLASS], "scheduler": ["diffusers", noise["_class_name"]]}
            _write_json(whole / "model_index.json", {"_class_name": pipeline, **parts})
        whole.replace(path)
    return pipeline or part.CLASS


def unsaid(config: Settings, schedule: Schedule) -> list[str]:
    """How the pipeline of an exported run is to be called so that it draws as the run does, and what it does otherwise all the same."""
    classes = ["its pipeline names no class; give the network class_labels"] if config.get("conditions") else []
    return process.write(config, schedule)[1] + classes


def counterpart(config: Settings, node: Settings, tensors: Mapping[str, Tensor]) -> tuple[ModuleType, dict[str, Any], bool]:
    """Their network that a run's is: the module of this package that knows it, its config.json, and whether the labels have a row for none."""
    part = NETWORKS.get(str(node.get("name")))
    if part is None:
        raise Problem(f"diffusers has no counterpart of the network {node.get('name')}; exported can be {', '.join(NETWORKS)}")
    if config.get("frame", "vp") != "vp" or config.get("data_std", 1.0) != 1 or config.get("clock"):
        raise Problem("diffusers' networks have the frame vp, data_std 1 and the schedule's own clock; this run has not")
    shape = list(config["shape"])
    if len(shape) != 3:
        raise Problem(f"diffusers' {part.CLASS} is for pictures (C, H, W), not for examples of shape {tuple(shape)}")
    table = tensors.get("conditions.label.embed.weight")
    conditions = config.get("conditions") or []
    for c in conditions:
        if c["name"] != "label" or c.get("enter") not in (None, "add", "adaln"):
            own = c["name"] if c["name"] != "label" else f"label by {c['enter']}"
            raise Problem(f"diffusers' {part.CLASS} is conditioned on classes alone, added to the time embedding; this run on {own}")
    null = bool(conditions) and conditions[0].get("drop", 0.1) > 0
    return part, part.config(node, shape, 0 if table is None else len(table) - null, null), null


def _json(file: Path, optional: bool = False) -> dict[str, Any]:
    if optional and not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise Problem(f"{file} cannot be read as JSON: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(content, dict):
        raise Problem(f"{file} holds no settings")
    return content


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def write_weights(file: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save

    with replacing(file) as temporary:
        temporary.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}, {"format": "pt"}))


def _tensors(place: Path) -> dict[str, Tensor]:
    """The weights of a network's folder: safetensors, whole or in shards, or a pickle of tensors alone."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    whole, index, pickle = (place / f"{WEIGHTS}{end}" for end in (".safetensors", ".safetensors.index.json", ".bin"))
    files: Sequence[Path] = [pickle] if pickle.is_file() and not whole.is_file() else [whole]
    if index.is_file() and not whole.is_file():
        files = [place / Path(str(name)).name for name in sorted(set(_json(index).get("weight_map", {}).values()))]
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not file.is_file():
            raise Problem(f"{file} is missing; download the folder whole")
        try:
            tensors |= load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
        except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
            raise Problem(f"{file} cannot be read, it may be cut short: {' '.join(str(error).split())[:120]}") from error
        except Exception as error:  # pickle's, which refuses whatever is more than tensors
            raise Problem(f"{file} is more than tensors, and loading never executes code; save it as safetensors") from error
    return {name: tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor for name, tensor in tensors.items()}


def _names(path: Path, classes: int) -> list[str]:
    """The classes' names, where the pipeline's index has them."""
    named = _json(path / "model_index.json", True).get("id2label")
    if not isinstance(named, dict) or sorted(named) != sorted(map(str, range(classes))):
        return [str(i) for i in range(classes)]
    return [str(named[str(i)]) for i in range(classes)]


def write_adapter(path: str | Path, config: Settings, node: Settings, tensors: Mapping[str, Tensor], changes: Mapping[str, Tensor]) -> Path:
    """Writes changes to a run's weights, by our names, into a folder as `pytorch_lora_weights.safetensors`; that file.

    One layer of ours may be several of theirs, so each of theirs gets factors of its own, `unet.….lora_A.weight` and `lora_B.weight`, with B A
    the change, and alpha the rank. config, node, tensors: as in `write`, the weights without the changes.
    """
    file = vacant(path) / "pytorch_lora_weights.safetensors"
    part, theirs, _ = counterpart(config, node, tensors)
    rows = [row for row in part.rows(theirs) if row.ours in changes]
    if not rows:
        raise Problem("no change is to a weight that diffusers' model has; train the adapter on other layers to export it")
    named = {}
    for name, change in to_theirs(rows, changes).items():
        a, b = factors(change.detach())
        if len(a):
            layer = f"{PLACES[part.CLASS]}.{name.removesuffix('.weight')}"
            named |= {f"{layer}.lora_A.weight": a, f"{layer}.lora_B.weight": b}
    if not named:
        raise Problem("the adapter has not changed any weight yet; train it first")
    write_weights(file, named)
    return file


def factors(change: Tensor, least: float = 1e-5) -> tuple[Tensor, Tensor]:
    """A (rank, in, *taps) and B (out, rank, *1) with B A the change (out, in, *taps), by its singular values above `least` of the largest."""
    u, s, v = torch.linalg.svd(change.flatten(1).double(), full_matrices=False)
    rank, ones = int((s > least * s[0]).sum()), [1] * (change.ndim - 2)
    a, b = s[:rank, None].sqrt() * v[:rank], u[:, :rank] * s[:rank].sqrt()
    return a.float().view(rank, *change.shape[1:]), b.float().view(len(change), rank, *ones)
