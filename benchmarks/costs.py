"""Pixels against latents, and clips by their frames, with the same denoiser: numbers of an example, training, memory, sampling.

    python benchmarks/costs.py [SIDE …] [--seconds 20] [--batch 8] [--out results/speed/costs.json]
    python benchmarks/costs.py 32 --frames 4 8 16 32 [--out results/clips/costs.json]

One UNet diffuses pictures of noise as they are, through 8 channels at a quarter of the side (conv_ae), and through 4 at an eighth (kl, the layout of Stable
Diffusion). Autoencoders are not trained, which costs the same. Each line is measured in a process of its own: memory is that process's peak, all of Python
and the data included, in a step of the whole batch; training is from cached latents, whose making is `encode`; a sample is 10 steps of Heun and its decoding.
With --frames the lines are pictures by the network as it is, and clips of so many frames by the same with temporal layers.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fromnoise
from fromnoise.data import Plan, feed
from fromnoise.device import best, machine, peak_memory
from fromnoise.draws import Draws
from fromnoise.training import train
from fromnoise.training.estimate import estimate
from fromnoise.training.setup import setup

SIDES = (64, 128, 256)
KL = {"name": "kl", "width": 64, "levels": [1, 2, 4, 4], "latent": 4, "blocks": 1}
STAGES = {"pixels": None, "conv_ae f4 c8": {"name": "conv_ae", "widths": [32, 64, 128], "latent": 8}, "kl f8 c4": KL}
NETWORK = {"name": "unet", "width": 64, "levels": [1, 2, 2], "blocks": 1}
PICTURES, STEPS = 64, 20


def once(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the second call."""
    times = []
    for _ in range(2):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return times[-1]


def step(recipe: dict[str, Any], device: torch.device) -> None:
    """A step of training on a whole batch at once."""
    parts = setup(recipe)
    n = parts.settings.batch
    batch, draws = next(feed(parts.data, Plan(len(parts.data), n), 0, device, False, 0)), Draws(("step",), range(n), n)
    parts.gradient.micro_batches = 1
    parts.gradient(parts.objective.drawn(batch, draws, 0.0), draws)
    parts.optimizer.step()


def case(side: int, name: str, frames: int, batch: int, seconds: float, folder: Path) -> dict[str, object]:
    """One line, of a process of its own; frames 0: pictures."""
    time_axis, network = ((frames,), NETWORK | {"temporal": True}) if frames else ((), NETWORK)
    np.savez(folder / "noise.npz", np.random.default_rng(0).integers(0, 256, (PICTURES, *time_axis, side, side, 3), dtype=np.uint8))
    data, stage, device = {"name": "npz", "path": str(folder / "noise.npz"), "held_out": 0}, STAGES[name], best(None)
    recipe = {"data": data, "network": network, "train": {"images": 1_000_000, "batch": batch, "evals": 0}, "sample": {"name": "heun", "steps": STEPS // 2}}
    found: dict[str, object] = {"side": side, "frames": frames} if frames else {"side": side, "stage": name}
    decoding = 0.0
    if stage:
        run = train({"data": data, "autoencoder": stage, "train": {"steps": 1, "batch": 1, "evals": 0}}, folder / "ae", quiet=True)
        recipe["autoencoder"] = str(run.path)
        trained, x = fromnoise.load_autoencoder(run.path, device), torch.rand(8, 3, side, side, device=device) * 2 - 1
        with torch.no_grad():
            z = trained.autoencoder.encode(x)
            found["encoded a second"] = 8 / once(lambda: trained.autoencoder.encode(x), device)
            decoding = once(lambda: trained.autoencoder.decode(z, x.shape[2:]), device) / 8
        found["numbers"] = z[0].numel()
        del trained, x, z
    measured = estimate(recipe, seconds)
    step(recipe, device)  # all at once, where the time may have been measured of fewer
    return found | {
        "numbers": found.get("numbers", 3 * side**2 * max(1, frames)), "parameters": measured.parameters,
        f"{'clips' if frames else 'images'} a second": measured.rate, "peak": peak_memory(device),
        "seconds a sample": 1 / (measured.drawn or float("nan")) + decoding, "of it decoding": decoding, "trust": measured.trust,
    }  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("sides", nargs="*", type=int, default=SIDES)
    asked.add_argument("--seconds", type=float, default=20)
    asked.add_argument("--batch", type=int, default=8)
    asked.add_argument("--out", type=Path)
    asked.add_argument("--frames", type=int, nargs="+", default=[])
    asked.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    said = asked.parse_args()
    if said.one:
        with tempfile.TemporaryDirectory() as folder:
            side, name, frames = said.one
            print(json.dumps(case(int(side), name, int(frames), said.batch, said.seconds, Path(folder))))
        return
    rows = []
    lines = [("pixels", frames) for frames in (0, *said.frames)] if said.frames else [(name, 0) for name in STAGES]
    for side in said.sides:
        for name, frames in lines:
            command = [sys.executable, __file__, "--one", str(side), name, str(frames), "--seconds", str(said.seconds), "--batch", str(said.batch)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{side} {name} {frames}: {done.stderr.strip().splitlines()[-1]}")
            row = json.loads(done.stdout.splitlines()[-1])
            rows.append(row)
            what, rate = (f"{frames} frames", f"{row['clips a second']:7.2f} clips/s") if frames else (name, f"{row['images a second']:7.2f} images/s")
            print(f"{side:4d} px  {what:14s} {row['numbers']:8,d} numbers  {rate}  {row['peak'] / 2**30:5.2f} GiB  {row['seconds a sample']:6.2f} s a sample",
                  flush=True)  # fmt: skip
    if said.out:
        said.out.parent.mkdir(parents=True, exist_ok=True)
        said.out.write_text(json.dumps({"machine": machine(best(None)), "batch": said.batch, "network": NETWORK, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
