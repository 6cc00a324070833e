"""Where a result comes from: machine, versions, commit, command."""

import importlib.metadata
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from ..device import machine


def environment(device: torch.device) -> dict[str, Any]:
    """What a run writes down of where it ran."""
    return {
        "version": importlib.metadata.version("fromnoise"),
        "commit": commit(),
        **machine(device),
        "command": " ".join(sys.argv),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def commit() -> str | None:
    """The commit of fromnoise's working tree; None where it is installed without one."""
    git, where = shutil.which("git"), Path(__file__).parents[2]
    if git is None or not (where / ".git").exists():
        return None
    answer = subprocess.run([git, "-C", str(where), "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True)
    return answer.stdout.strip() or None
