"""How time and memory of a training step grow with width, resolution and batch; and what recomputing blocks saves.

    python benchmarks/scaling.py --draw results/speed
    python benchmarks/scaling.py [width] [resolution] [batch] [recompute] [--out results/speed]

Prints a table for each, with the exponent that a line through the logarithms gives, and writes <name>.json and scaling.png, which
--draw makes anew from the files. Each row runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import torch
from accelerate import Accelerator

from fromnoise.conditions import Example
from fromnoise.config import Recipe
from fromnoise.device import best, keep_memory, machine, peak_memory, precision, reset_peak
from fromnoise.draws import Draws
from fromnoise.figures.figure import COLOURS, dress, figure, raster
from fromnoise.model import build
from fromnoise.training.denoising import Denoising
from fromnoise.training.flop import flop
from fromnoise.training.optim import OPTIMIZERS
from fromnoise.training.settings import TrainSettings
from fromnoise.training.setup import prepare_network
from fromnoise.training.step import Gradient

BASE = {"name": "unet", "width": 64, "levels": [1, 2, 2], "blocks": 2, "attention": [2]}
SWEEPS: dict[str, list[dict]] = {
    "width": [{"x": w, "node": BASE | {"width": w}, "size": 32, "batch": 8} for w in (32, 64, 128, 192)],
    "resolution": [{"x": s, "node": BASE, "size": s, "batch": 4} for s in (16, 32, 64, 128)],
    "batch": [{"x": b, "node": BASE, "size": 32, "batch": b} for b in (1, 4, 16, 64)],
    "recompute": [
        {"x": size, "node": {"name": f"unet_{size}"}, "size": size, "batch": 4 if size < 512 else 1, "recompute": again}
        for size in (128, 256, 512)
        for again in (False, True)
    ],
}


MEASURED = {("seconds", 1e3, "time of a step (ms)"): "Time", ("activations GiB", 1024.0, "activations (MiB)"): "Memory"}
UNITS = {"width": "width (channels)", "resolution": "side of a picture (pixels)", "batch": "batch (pictures)"}


def row(case: dict) -> dict:
    """Seconds a training step, its operations, and the peak memory of fixed parts and of activations."""
    device = best()
    if "recompute" not in case:  # what the C library keeps for reuse would count as memory in use
        keep_memory()
    shape, n = (3, case["size"], case["size"]), case["batch"]
    model = build(Recipe.of({"network": case["node"], "noise": "cosine"}), Example(shape))
    work = 3 * n * flop(model.denoiser.network, shape)
    model.to(device)
    settings = TrainSettings(steps=1, recompute=case.get("recompute", False))
    model.denoiser.autocast = precision(device)
    prepare_network(model.denoiser.network, settings, device, own_process=True)
    parameters, accelerator = list(model.parameters()), Accelerator(cpu=device.type == "cpu", mixed_precision="no")
    optimizer = OPTIMIZERS["adamw"](parameters, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0)
    objective = Denoising(model, settings, accelerator)
    gradient = Gradient(accelerator, model, parameters, settings, objective.loss, 1)

    def step(rows: int) -> float:
        x = torch.randn(rows, *shape, device=device)
        began = time.perf_counter()
        draws = Draws.fixed(rows)
        gradient(objective.drawn({"x": x}, draws, 0.0), draws)
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    with torch.no_grad():  # what is there without a step: weights, gradients, the optimizer's state
        for p in parameters:
            p.grad = torch.zeros_like(p)
    optimizer.step()
    reset_peak(device)
    fixed = peak_memory(device) or 0
    times = [step(n) for _ in range(2)]
    while sum(times[1:]) < 4 and len(times) < 40:
        times.append(step(n))
    return {
        "x": case["x"],
        "recompute": case.get("recompute", False),
        "batch": n,
        "parameters": sum(p.numel() for p in parameters),
        "seconds": min(times[1:]),
        "TFLOP/s": work / min(times[1:]) / 1e12,
        "fixed GiB": fixed / 2**30,
        "activations GiB": ((peak_memory(device) or 0) - fixed) / 2**30,
    }


def exponent(rows: list[dict]) -> float:
    """The slope of log seconds over log x, by least squares."""
    x, y = ([math.log(row[key]) for row in rows] for key in ("x", "seconds"))
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)


def plot(found: dict[str, dict], path: Path) -> None:
    """Time above and memory below, each over what is swept."""
    made, axes = figure(2 * len(found), len(found), width=4.2, height=2.8)
    for ax, (key, scale, unit), (name, result) in zip(axes, [part for part in MEASURED for _ in found], 2 * [*found.items()], strict=True):
        x, y = zip(*((row["x"], scale * row[key]) for row in result["rows"]), strict=True)
        ax.plot(x, y, "o-", color=COLOURS[0] if key == "seconds" else COLOURS[1], markersize=4, linewidth=1.6)
        ax.set_ylim(min(y) / 1.3, max(y) * 1.3)
        dress(ax, f"{MEASURED[key, scale, unit]} over {name}", UNITS[name], unit, log=True)
        ax.set_xscale("log")
        ax.set_xticks(x, [str(at) for at in x])
        ax.minorticks_off()
    raster(made).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="*", metavar="SWEEP", help=", ".join(SWEEPS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="measure nothing: draw what an earlier --out wrote")
    asked = parser.parse_args()
    if asked.draw:
        plot({name: json.loads((asked.draw / f"{name}.json").read_text()) for name in UNITS}, asked.draw / "scaling.png")
        return
    if asked.one:
        print(json.dumps(row(json.loads(asked.one))))
        return
    found = {}
    for name in asked.sweeps or SWEEPS:
        rows = []
        for case in SWEEPS[name]:
            done = subprocess.run([sys.executable, __file__, "--one", json.dumps(case)], capture_output=True, text=True)
            if done.returncode:
                print(f"  {name} {case['x']}: {done.stderr.strip().splitlines()[-1]}")
                continue
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(
                "  ".join(f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}" for key, value in rows[-1].items()),
                flush=True,
            )
        found[name] = {"machine": machine(best()), "rows": rows}
        if name != "recompute":
            found[name]["exponent"] = exponent(rows)
            print(f"{name}: seconds a step grow with its power {found[name]['exponent']:.2f}")
        if asked.out:
            asked.out.mkdir(parents=True, exist_ok=True)
            (asked.out / f"{name}.json").write_text(json.dumps(found[name], indent=2) + "\n")
    if asked.out:
        if swept := {name: result for name, result in found.items() if name != "recompute"}:  # that one is a table: its batches differ
            plot(swept, asked.out / "scaling.png")


if __name__ == "__main__":
    main()
