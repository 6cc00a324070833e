"""Saving a run whole, and going on with it."""

import dataclasses
import math
import sys

import torch

from ..config import Recipe, differences
from ..errors import Problem, check_text
from ..files import sweep
from ..runs.folder import VERSION, Run
from ..runs.provenance import environment
from .setup import Setup
from .state import State

# What may differ when a run goes on: how long it lasts, what is kept and shown, where the data lies.
MAY_CHANGE = ("train.images", "train.steps", "train.minutes", "train.save_minutes", "train.save_every", "train.keep", "train.keep_every",
              "train.keep_best", "train.log_every", "train.evals", "train.held_out", "train.tracker", "train.workers",
              *(f"data.{part}{key}" for part in ("", "x.", "source.") for key in ("root", "path")), "base.run", "autoencoder.path",
              "sample", "evaluate", "version", "id")  # fmt: skip


def create_or_check(run: Run, recipe: Recipe, fresh: bool, device: torch.device) -> None:
    """Makes the run folder, or checks that the one there is of the same run; with `fresh` renames that one."""
    check_text("the run folder", str(run.path))
    if run.path.is_dir() and any(run.path.iterdir()) and not (run.path / "config.yaml").is_file():
        raise Problem(f"{run.path} holds files that are not a run's; choose another --out")
    if fresh and (aside := run.set_aside()):
        print(f"the earlier run is kept as {aside}", file=sys.stderr)
    if (run.path / "config.yaml").is_file():
        for key, was, now in differences(run.recipe(True), recipe):
            if not any(key == may or key.startswith(may + ".") for may in MAY_CHANGE):
                what = f"{run.path} holds a run with other settings ({key}: {was}, not {now})"
                raise Problem(f"{what}; choose another --out, or --fresh to begin anew (the present one is then kept beside)")
    if run.weights.is_file() and not run.checkpoint.is_file():
        what = f"{run.path} holds trained weights, and no last.ckpt to go on from"
        raise Problem(f"{what}; begin from them elsewhere with base={run.path} --out NEW, or anew with --fresh (they are then kept beside)")
    sweep(run.path)
    run.write_recipe(recipe)
    run.write_json("environment.json", environment(device))


def write_checkpoint(run: Run, state: State, parts: Setup) -> None:
    """Writes last.ckpt, all that going on needs."""
    weights = {"model": parts.model.state_dict(), "optimizer": parts.optimizer.state_dict(), "ema": parts.ema.state()}
    run.save_checkpoint({"version": VERSION, "state": dataclasses.asdict(state), **weights})


def save(run: Run, state: State, parts: Setup) -> None:
    """Writes last.ckpt and model.safetensors, and the weights of earlier steps that are to be kept: the last few, in whose place newer ones come, or for good."""
    if not parts.main:
        return
    keep, for_good = parts.settings.keep, bool(parts.settings.keep_every) and state.step % parts.settings.keep_every == 0
    if keep and not for_good and state.step not in state.kept:
        state.kept.append(state.step)
    over, state.kept = state.kept[:-keep], state.kept[-keep:]
    write_checkpoint(run, state, parts)
    with parts.ema.applied(parts.parameters):
        run.save_weights(parts.model, state.step)
        if keep or for_good:
            run.save_weights(parts.model, state.step, f"step_{state.step:08d}")
    for step in over:
        run.weights_named(f"step_{step:08d}").unlink(missing_ok=True)


def keep_best(run: Run, step: int, parts: Setup, held_out: float | None) -> None:
    """Keeps the averaged weights as weights/best where the log knows no smaller held-out loss of an earlier step; one that is not finite is none.

    Where `train.keep_best` is above 1, they are weights/best_STEP too if they are among so many best, and the worst of those makes room: one for
    one, so that a smaller number removes nothing."""
    if not parts.main or held_out is None or not math.isfinite(held_out):
        return
    losses = {entry["step"]: entry["held_out"] for entry in run.entries() if entry.get("held_out") is not None} | {step: held_out}
    losses, most = {at: loss for at, loss in losses.items() if math.isfinite(loss)}, parts.settings.keep_best
    there = {int(file.stem[5:]) for file in run.weights_named("best").parent.glob(f"best_{8 * '[0-9]'}.safetensors")}
    ranked = sorted({*there, step}, key=lambda at: (losses.get(at, math.inf), at))
    best, among = all(held_out < loss for at, loss in losses.items() if at < step), most > 1 and step in ranked[:most]
    with parts.ema.applied(parts.parameters):
        for name in [*["best"] * best, *[f"best_{step:08d}"] * among]:
            run.save_weights(parts.model, step, name)
    for worst in ranked[most:][-1:] if among and step not in there else ():
        run.weights_named(f"best_{worst:08d}").unlink(missing_ok=True)


def restore(run: Run, state: State, parts: Setup) -> None:
    """Takes everything back from last.ckpt, in place."""
    saved = run.load_checkpoint()
    if missing := [key for key in ("state", "model", "optimizer", "ema") if not isinstance(saved.get(key), dict)]:
        raise Problem(f"{run.checkpoint} has lost its {missing[0]}; restore a copy, or begin anew with --fresh")
    try:
        parts.model.load_state_dict(saved["model"])
        parts.optimizer.load_state_dict(saved["optimizer"])
        parts.ema.restore(saved["ema"])
    except Exception as error:  # torch takes whatever is there, and raises many types
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise Problem(f"{run.checkpoint} does not fit the settings in config.yaml ({line}); begin anew with --fresh") from error
    state.restore(saved["state"])
    least, rows = max(parts.gradient.micro_batches, state.micro_batches), len(parts.rows)  # there may be other processes now
    parts.gradient.micro_batches = next((n for n in range(least, rows) if rows % n == 0), rows)


def go_back(run: Run, state: State, parts: Setup, why: str) -> None:
    """Back to the last checkpoint at half the learning rate; raises Problem where there is none, or where it has been halved ten times."""
    factor = state.factor / 2
    lived = {key: getattr(state, key) for key in ("seconds", "evaluating", "skipped", "total", "evals", "minutes")}
    if not run.checkpoint.is_file() or factor < 2**-10:
        raise Problem(f"training cannot go on: {why}")
    restore(run, state, parts)
    vars(state).update(lived, factor=factor, bad_steps=0)
