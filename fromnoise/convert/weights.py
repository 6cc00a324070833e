"""Files of weights in diffusers' layout: whole or in shards, safetensors or pickles of tensors alone, in one variant or several side by side."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import Problem
from ..files import parse_json, replacing

NAME = "diffusion_pytorch_model"
FILE = re.compile(rf"{NAME}(?:\.(?P<variant>[^.]+))?\.(?P<kind>safetensors|bin)")
INDEX = re.compile(rf"{NAME}\.(?P<kind>safetensors|bin)\.index(?:\.(?P<variant>[^.]+))?\.json")  # of shards
ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # before diffusers 0.17: after


def read(place: Path) -> tuple[dict[str, Tensor], list[str]]:
    """A network's weights, in float32 where they are in half of it, by the names of today, and a line where one of several files was taken.

    As in diffusers, those of no variant (such as fp16) come first, safetensors before pickles, and shards before a whole file.
    """
    order = {}
    for file in place.iterdir():
        if match := FILE.fullmatch(file.name) or INDEX.fullmatch(file.name):
            order[file] = (match["variant"] or "", match["kind"] == "bin", file.suffix != ".json")
    if not order:
        raise Problem(f"{place / NAME}.safetensors is missing; download the folder whole")
    taken, *others = sorted(order, key=order.__getitem__)
    beside = f"; beside it {', '.join(file.name for file in others)}" if others else ""
    notes = [f"{taken} is taken{beside}"] if others or order[taken][0] else []
    tensors: dict[str, Tensor] = {}
    for file in [place / name for name in _shards(taken)] if taken.suffix == ".json" else [taken]:
        tensors |= _tensors(file)
    if wrong := next((name for name, tensor in tensors.items() if not tensor.is_floating_point()), None):
        raise Problem(f"{taken}: {wrong} is of {tensors[wrong].dtype}, not of numbers with a point; save the model as it was before it was quantised")
    tensors = {name: tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor for name, tensor in tensors.items()}
    return newer(tensors), notes


def read_json(file: Path, optional: bool = False) -> dict[str, Any]:
    """What a file of settings holds; nothing where an optional one is not there."""
    if optional and not file.is_file():
        return {}
    try:
        content = parse_json(file.read_text())
    except (OSError, ValueError) as error:
        raise Problem(f"{file} cannot be read as JSON: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(content, dict):
        raise Problem(f"{file} holds no settings")
    return content


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes a file of settings, and its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _shards(index: Path) -> list[str]:
    """The files that an index names, of its own folder."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise Problem(f"{index} has no weight_map; download the folder whole")
    return sorted({Path(str(name)).name for name in names.values()})


def _tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of one file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise Problem(f"{file} is missing; download the folder whole")
    try:
        found = load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise Problem(f"{file} cannot be read, it may be cut short: {' '.join(str(error).split())[:120]}") from error
    except Exception as error:  # pickle's, which refuses whatever is more than tensors
        raise Problem(f"{file} is more than tensors, and loading never executes code; save it as safetensors") from error
    if not isinstance(found, Mapping) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise Problem(f"{file} holds other things than tensors by name; save the network's state_dict alone")
    return dict(found)


def newer(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names of today, where an older file calls the parts of attention query, key, value and proj_attn."""

    def name(old: str) -> str:
        *above, part, kind = old.split(".") if ".attentions." in f".{old}" else ("", old)
        return ".".join([*above, ATTENTION.get(part, part), kind]) if above else old

    return {name(key): tensor for key, tensor in tensors.items()}


def write(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors as safetensors, as diffusers does."""
    from safetensors.torch import save

    with replacing(file) as temporary:
        temporary.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}, {"format": "pt"}))
