"""The text encoder of a pipeline in diffusers' layout as a condition of ours, and back."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..conditions.text.pretrained import digest_of
from ..errors import Problem
from .weights import read_json

PARTS = {"text_encoder": ("CLIPTextModel",), "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast")}  # and the classes of each that are read
ENCODER, TOKENIZER = PARTS


def read(home: Path, index: Mapping[str, Any]) -> dict[str, Any]:
    """The node of our text condition that reads as a pipeline's encoder does: all its tokens, the filling as well, as they are; {} where it has none."""
    if index.get(ENCODER) in (None, [None, None]):
        return {}
    for part, known in PARTS.items():
        named = index.get(part)
        if not (isinstance(named, list) and named and named[-1] in known):
            raise Problem(f"{home}: {part} {named!r} has no counterpart here; known are {', '.join(known)}")
        if not (home / part).is_dir():
            raise Problem(f"{home / part} is missing, which its index names; download the folder whole")
    if (digest := digest_of(home / ENCODER)) is None:
        raise Problem(f"{home / ENCODER} holds no model.safetensors; download the folder whole, or save it again with save_pretrained")
    length = read_json(home / TOKENIZER / "tokenizer_config.json", True).get("model_max_length", 77)
    return {"name": "text", "encoder": str(home.resolve()), "drop": 0.1, "length": length, "pad": True, "norm": False, "digest": digest}


def width(home: Path) -> int | None:
    """How wide the encoder's tokens are."""
    return read_json(home / ENCODER / "config.json").get("hidden_size")


def check(node: Mapping[str, Any], theirs: str) -> Path:
    """The folder of the pipeline whose encoder a text condition of ours is; raises Problem where diffusers' cannot do as it does."""
    home = Path(str(node.get("encoder", "words"))).expanduser()
    if not (home / ENCODER / "config.json").is_file() or not (home / TOKENIZER).is_dir():
        what = f"words by the encoder {node.get('encoder', 'words')}, which is no folder with {ENCODER}/ and {TOKENIZER}/"
        raise Problem(f"diffusers' {theirs} reads CLIP's words; this run {what}; begin with a StableDiffusionPipeline to export")
    for key, wanted, usual in (("pad", True, False), ("norm", False, True)):
        if node.get(key, usual) != wanted:
            raise Problem(f"diffusers' {theirs} has no text.{key}={str(node.get(key, usual)).lower()}; train with {key}: {str(wanted).lower()} to export")
    return home


def write(home: Path, folder: Path) -> dict[str, list[str]]:
    """Copies a pipeline's encoder and tokenizer into another folder; what its index says of them."""
    index = read_json(home / "model_index.json", True)
    for part in PARTS:
        shutil.copytree(home / part, folder / part)
    return {part: index.get(part) or ["transformers", known[0]] for part, known in PARTS.items()}
