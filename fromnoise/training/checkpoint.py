"""Saving a run whole, and going on with it."""

import dataclasses
import importlib.metadata
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..config import difference
from ..device import machine
from ..errors import Problem
from ..runs.folder import VERSION, Run
from .ema import EMA

# What may differ when a run goes on: how long it lasts, what is kept and shown, where the data lies.
MAY_CHANGE = ("train.steps", "train.minutes", "train.save_minutes", "train.save_every", "train.keep", "train.keep_every", "train.log_every",
              "train.looks", "train.held_out", "train.tracker", "train.workers", "data.root", "base.run", "sample", "evaluate", "version")  # fmt: skip


@dataclass
class State:
    """Where a run is."""

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    strikes: int = 0  # non-finite steps in a row
    skipped: int = 0  # in all
    factor: float = 1.0  # on the learning rate, halved at every going back


def settle(run: Run, config: Mapping[str, Any], fresh: bool, device: torch.device) -> None:
    """Makes the run folder, or checks that the one there is of the same run; with `fresh` renames that one."""
    if run.path.is_dir() and any(run.path.iterdir()) and not (run.path / "config.yaml").is_file():
        raise Problem(f"{run.path} holds files that are not a run's; choose another --out")
    if fresh:
        aside = run.set_aside()
        if aside:
            print(f"the earlier run is kept as {aside}", file=sys.stderr)
    if (run.path / "config.yaml").is_file():
        changed = [
            (key, was, now)
            for key, was, now in difference(run.config(), config)
            if not any(key == may or key.startswith(may + ".") for may in MAY_CHANGE)
        ]
        if changed:
            key, was, now = changed[0]
            raise Problem(
                f"{run.path} holds a run with other settings ({key}: {was}, not {now}); choose another --out, or --fresh to begin anew"
                " (the present one is then kept beside)"
            )
    run.write_config(config)
    run.write_json("environment.json", environment(device))


def environment(device: torch.device) -> dict[str, Any]:
    """Machine, versions, commit and command."""
    return {
        "version": importlib.metadata.version("fromnoise"),
        "commit": _commit(),
        **machine(device),
        "command": " ".join(sys.argv),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _commit() -> str | None:
    git = shutil.which("git")
    where = Path(__file__).parents[2]
    if git is None or not (where / ".git").exists():
        return None
    asked = subprocess.run([git, "-C", str(where), "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True)
    return asked.stdout.strip() or None


def remember(run: Run, state: State, parts: Mapping[str, Any]) -> None:
    """Writes last.ckpt, all that going on needs."""
    run.save_checkpoint(
        {
            "version": VERSION,
            "state": dataclasses.asdict(state),
            "model": parts["model"].state_dict(),
            "ema": parts["ema"].state(),
            "optimizer": parts["optimizer"].state_dict(),
            "plateau": parts["plateau"].state(),
        }
    )


def save(
    run: Run, state: State, parts: Mapping[str, Any], parameters: Sequence[Tensor], keep: int, keep_every: int | None, main: bool
) -> None:
    """Writes last.ckpt and model.safetensors, and the weights of earlier steps that are to be kept."""
    if not main:
        return
    model, ema = parts["model"], parts["ema"]
    remember(run, state, parts)
    with ema.applied(parameters):
        run.save_weights(model, state.step)
        if keep or (keep_every and state.step % keep_every == 0):
            run.save_weights(model, state.step, f"step_{state.step:08d}")
    kept = sorted((run.path / "weights").glob("step_*.safetensors"))
    for file in kept[: max(0, len(kept) - keep)]:
        if not keep_every or int(file.stem.removeprefix("step_")) % keep_every:
            file.unlink()


def keep_best(run: Run, step: int, model: nn.Module, ema: EMA, parameters: Sequence[Tensor], held_out: float | None) -> None:
    """Keeps the averaged weights as weights/best where the log knows no smaller held-out loss of an earlier step."""
    earlier = (entry["held_out"] for entry in run.entries() if "held_out" in entry and entry["step"] < step)
    if held_out is not None and held_out < min(earlier, default=math.inf):
        with ema.applied(parameters):
            run.save_weights(model, step, "best")


def restore(run: Run, state: State, parts: Mapping[str, Any]) -> None:
    """Takes everything back from last.ckpt, in place."""
    saved = run.load_checkpoint()
    try:
        parts["model"].load_state_dict(saved["model"])
        parts["optimizer"].load_state_dict(saved["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise Problem(
            f"{run.checkpoint} does not fit the settings in config.yaml ({str(error).splitlines()[0]}); begin anew with --fresh"
        ) from error
    parts["ema"].restore(saved["ema"])
    parts["plateau"].restore(saved["plateau"])
    for key, value in saved["state"].items():
        setattr(state, key, value)


def go_back(run: Run, state: State, parts: Mapping[str, Any], why: str) -> None:
    """Back to the last checkpoint at half the learning rate; raises Problem where there is none, or where it has been halved ten times."""
    factor, skipped = state.factor / 2, state.skipped
    if not run.checkpoint.is_file() or factor < 2**-10:
        raise Problem(f"training cannot go on: {why}")
    restore(run, state, parts)
    state.factor, state.skipped, state.strikes = factor, skipped, 0
