"""Files that are either wholly there or not at all, and the names of what they hold."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Problem

if TYPE_CHECKING:
    from torch import Tensor

HALF = re.compile(r"\..+\.[0-9a-f]{8}(\.\w+){0,2}")  # what `replacing` calls a file that is being written


def ending(path: str | Path) -> str:
    """The ending of a file's name; where it is packed, with the one before, as in .nii.gz."""
    path = Path(path)
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; renamed to `path` on success, removed on failure.

    A reader, a crash or a full disk therefore never meets half a file. Raises Problem where the folder cannot be written or the disk is full.
    """
    path, end = Path(path), ending(path)
    temporary = path.with_name(f".{path.name.removesuffix(end)}.{secrets.token_hex(4)}{end}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # as the user's umask allows
    except OSError as error:
        raise Problem(f"cannot write to {path.parent}: {error.strerror}; choose another place with --out") from error
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise Problem(f"cannot write {path}: {error.strerror or error}; free some space or choose another place with --out") from error
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes what killed processes left half written in a folder and those inside it (see `replacing`)."""
    for file in folder.rglob(".*"):
        if HALF.fullmatch(file.name) and file.is_file():
            file.unlink(missing_ok=True)


def parse_json(text: str) -> Any:
    """json.loads, which raises JSONDecodeError, as for other damage, where lists are nested deeper than Python's stack."""
    try:
        return json.loads(text)
    except RecursionError:
        raise json.JSONDecodeError("nested too deep", text, 0) from None


def vacant(path: str | Path) -> Path:
    """A folder to write; raises Problem where it is there already and holds something."""
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Problem(f"{path} is there already, and nothing is overwritten; give another, or remove it first")
    return path


def cache() -> Path:
    """$FROMNOISE_CACHE, or ~/.cache/fromnoise."""
    return Path(os.environ.get("FROMNOISE_CACHE") or Path.home() / ".cache" / "fromnoise").expanduser()


def digest(tensors: "Mapping[str, Tensor]") -> str:
    """A short name of these tensors, wherever they lie."""
    import torch

    content = hashlib.sha256()
    for name in sorted(tensors):
        content.update(name.encode())
        content.update(tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return content.hexdigest()[:16]
