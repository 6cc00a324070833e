"""One process at a time writes to a run folder."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import Problem


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Within it no other process trains into the folder; raises Problem, which names that process, where one does.

    The lock is the operating system's, so it ends with its process, however that ends. It lies beside the folder, which may be renamed.
    """
    try:
        path = Path(path).resolve()
    except (RuntimeError, OSError) as error:  # a link to itself
        raise Problem(f"{path} leads nowhere: {error}; choose another --out, or remove that link") from error
    if not path.name:
        raise Problem(f"{path} is no place for a run folder; choose another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, owner = (path.with_name(f".{path.name}.{kind}") for kind in ("lock", "owner"))
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout as error:
        who = owner.read_text(errors="replace") if owner.is_file() else "one that has just begun"
        raise Problem(f"{path}: another process trains into it ({who}); wait for it, stop it, or choose another --out") from error
    try:
        owner.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        yield
    finally:
        owner.unlink(missing_ok=True)
        held.release()
