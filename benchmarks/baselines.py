"""Images a second through forward and backward with one thread, for six networks that were measured elsewhere; prints ours over theirs.

    python benchmarks/baselines.py [--out results/speed/baselines.json]

Theirs: images per CPU-second with one thread in float32, as their projects' own code reached. Ours: the training step in bf16 where the hardware has it.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402
from accelerate import Accelerator  # noqa: E402

from fromnoise.conditions import Example  # noqa: E402
from fromnoise.config import Recipe  # noqa: E402
from fromnoise.device import keep_memory, machine, precision  # noqa: E402
from fromnoise.draws import Draws  # noqa: E402
from fromnoise.model import build  # noqa: E402
from fromnoise.training.denoising import Denoising  # noqa: E402
from fromnoise.training.optim import OPTIMIZERS  # noqa: E402
from fromnoise.training.settings import TrainSettings  # noqa: E402
from fromnoise.training.step import Gradient  # noqa: E402

CASES = {  # network, example, batch, their images a second
    "two_linear 7.4 M": ({"name": "two_linear"}, (1, 28, 28), 256, 2185.0),
    "conv_adaln 10.6 M": ({"name": "conv_adaln"}, (8, 8, 8), 64, 35.8),
    "unet 0.72 M, 28 px": (
        {"name": "unet", "width": 10, "levels": [1, 2, 4, 8], "blocks": 1, "scale_shift": False},
        (1, 28, 28),
        64,
        238.0,
    ),
    "dit_b8, 32 px": ({"name": "dit_b8"}, (3, 32, 32), 64, 12.6),
    "uvit_mid / 8, 32 px": ({"name": "uvit_mid", "patch": 8}, (3, 32, 32), 32, 6.6),
    "convnext_64 56.6 M, 64 px": ({"name": "convnext_64"}, (3, 64, 64), 4, 1.47),
}


def rate(node: dict, shape: tuple[int, ...], n: int, seconds: float = 8.0) -> tuple[int, float]:
    """(parameters, images a second) of whole training steps."""
    device = torch.device("cpu")
    model = build(Recipe.of({"network": node, "noise": "cosine"}), Example(shape))
    model.denoiser.autocast = precision(device)
    parameters, accelerator, settings = list(model.parameters()), Accelerator(cpu=True, mixed_precision="no"), TrainSettings(steps=1)
    optimizer = OPTIMIZERS["adamw"](parameters, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0)
    objective = Denoising(model, settings, accelerator)
    gradient = Gradient(accelerator, model, parameters, settings, objective.loss, 1)
    x, times = torch.randn(n, *shape), []
    while len(times) < 3 or sum(times) < seconds:
        began = time.perf_counter()
        draws = Draws.fixed(n, len(times))
        gradient(objective.drawn({"x": x}, draws, 0.0), draws)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - began)
    return sum(p.numel() for p in parameters), n / statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    rows = []
    for name, (node, shape, n, theirs) in CASES.items():
        count, ours = rate(node, shape, n)
        rows.append({"network": name, "parameters": count, "images/s": ours, "theirs": theirs, "ratio": ours / theirs})
        print(f"{name:28} {count:>12,} {ours:>10.1f} images/s  theirs {theirs:>8.1f}  {ours / theirs:5.2f}x", flush=True)
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps({"machine": machine(torch.device("cpu")), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
