"""Files that are either wholly there or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import Problem


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; renamed to `path` on success, removed on failure.

    A reader, a crash or a full disk therefore never meets half a file. Raises Problem where the folder cannot be written or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise Problem(f"cannot write to {path.parent}: {error.strerror}; choose another place with --out") from error
    temporary = Path(name)
    try:
        yield temporary
        mode = os.umask(0)
        os.umask(mode)
        temporary.chmod(0o666 & ~mode)  # mkstemp keeps files private; these are ordinary results
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise Problem(f"cannot write {path}: {error.strerror or error}; free some space or choose another place with --out") from error
    finally:
        temporary.unlink(missing_ok=True)


def vacant(path: str | Path) -> Path:
    """A folder to write; raises Problem where it is there already and holds something."""
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Problem(f"{path} is there already, and nothing is overwritten; give another, or remove it first")
    return path


def cache() -> Path:
    """$FROMNOISE_CACHE, or ~/.cache/fromnoise."""
    return Path(os.environ.get("FROMNOISE_CACHE") or Path.home() / ".cache" / "fromnoise").expanduser()
