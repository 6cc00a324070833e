"""The same network with the same weights in fromnoise and in diffusers, side by side in one process: training, sampling, memory.

    python benchmarks/peers.py [CASE …] [--rounds 5] [--out results/speed/peers.json]

Training is a whole step each: noise, loss, gradient, clipping, AdamW, moving average. "defaults": ours as `fromnoise train` runs it (bf16 where the
hardware has it, compiled on a GPU), theirs as their README runs train_unconditional.py (float32, --use_ema). "fp32": both in
float32, neither compiled. Rounds alternate, the ratio is the median over the rounds; memory is each library's peak in a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers import DDPMScheduler, DiTTransformer2DModel, UNet2DModel
from diffusers.training_utils import EMAModel

from fromnoise.conditions import Example
from fromnoise.config import Recipe
from fromnoise.convert import dit, to_theirs, unet
from fromnoise.device import best, keep_memory, machine, peak_memory, precision, reset_peak
from fromnoise.draws import Draws
from fromnoise.model import Model, build, expanded
from fromnoise.training.denoising import Denoising
from fromnoise.training.ema import EMA
from fromnoise.training.optim import OPTIMIZERS
from fromnoise.training.settings import TrainSettings
from fromnoise.training.setup import prepare_network
from fromnoise.training.step import Gradient

SMALL = {  # the 1.7 M UNet2DModel of diffusers' own course, but for how the class enters
    "name": "unet", "width": 32, "levels": [1, 2, 2], "blocks": 2, "attention": [1, 2], "head": 8, "compat": {"groups": 32}, "scale_shift": False,
}  # fmt: skip
PLAIN = SMALL | {"levels": [1, 2, 4], "blocks": 1, "attention": [2], "head": 64}
CASES = {  # network, example, batch on a CPU, batch on a GPU
    "unet_course": (SMALL, (1, 28, 28), 64, 1024),
    "unet_plain": (PLAIN, (1, 28, 28), 64, 1024),
    "ddpm": ({"name": "ddpm", "dropout": 0.0}, (3, 32, 32), 32, 256),
    "dit_s2": ({"name": "dit_s2", "compat": {"shift": 1}}, (3, 32, 32), 16, 512),
    "dit_b8": ({"name": "dit_b8", "compat": {"shift": 1}}, (3, 32, 32), 32, 1024),
}
LABEL = [{"name": "label", "classes": 10, "drop": 0.1}]


def ours(case: str, device: torch.device, plain: bool) -> tuple[Model, Callable[[torch.Tensor, torch.Tensor], None]]:
    """Our model, and a whole training step of it."""
    node, shape, *_ = CASES[case]
    torch.manual_seed(0)
    config = {"network": node, "conditions": LABEL, "predict": "eps", "noise": {"name": "table"}}
    model = build(Recipe.of(config), Example(shape, tuple(map(str, range(10)))))
    with torch.no_grad():
        for p in model.parameters():  # nothing zero, as after some training
            p.add_(0.02 * torch.randn(p.shape))
    model.to(device)
    settings = TrainSettings(steps=1000, precision="fp32" if plain else "auto", compile=False if plain else None)
    model.denoiser.autocast = precision(device, settings.precision)
    prepare_network(model.denoiser.network, settings, device, own_process=True)
    parameters = list(model.parameters())
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
    trained, optimizer = accelerator.prepare(model, OPTIMIZERS["adamw"](parameters, lr=1e-4, betas=(0.9, 0.999), weight_decay=0.0))
    objective = Denoising(model, settings, accelerator)
    gradient, ema = Gradient(accelerator, trained, parameters, settings, objective.loss, 1), EMA(parameters, 500_000)
    count = [0]

    def step(x: torch.Tensor, label: torch.Tensor) -> None:
        draws = Draws.fixed(len(x), count[0])
        gradient(objective.drawn({"x": x, "label": label}, draws, 0.0), draws)
        optimizer.step()
        count[0] += 1
        if count[0] % 4 == 0:
            ema.update(parameters, count[0] * len(x))
        optimizer.zero_grad(set_to_none=True)

    return model, step


def theirs(case: str, model: Model, device: torch.device) -> tuple[torch.nn.Module, Callable[[torch.Tensor, torch.Tensor], None]]:
    """diffusers' model with our weights, and a step of their example script."""
    node, shape, *_ = CASES[case]
    part = unet if expanded(node)["name"] == "unet" else dit
    config = part.config(expanded(node), shape, 10, True)
    peer = (UNet2DModel if part is unet else DiTTransformer2DModel)(**{k: v for k, v in config.items() if k != "_class_name"})
    peer.load_state_dict(to_theirs(part.rows(config), {k: v.detach().cpu() for k, v in model.state_dict().items()}))
    peer.to(device).train()
    scheduler, optimizer = DDPMScheduler(), torch.optim.AdamW(peer.parameters(), 1e-4)
    ema = EMAModel(peer.parameters(), use_ema_warmup=True)

    def step(x: torch.Tensor, label: torch.Tensor) -> None:
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),), device=x.device)
        loss = F.mse_loss(peer(scheduler.add_noise(x, noise, t), t, class_labels=label).sample, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.step(peer.parameters())

    return peer, step


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def alternated(pair: list[Callable[[], object]], device: torch.device, rounds: int, least: float = 1.0) -> list[list[float]]:
    """Seconds of each of the two, by round; each call is repeated until a round takes `least` seconds."""
    times: list[list[float]] = [[], []]
    repeats = []
    for call in pair:  # what a first call costs is not counted
        call()
        began = now(device)
        call()
        repeats.append(max(1, round(least / (now(device) - began))))
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            began = now(device)
            for _ in range(repeats[which]):
                pair[which]()
            times[which].append((now(device) - began) / repeats[which])
    return times


def ratio(times: list[list[float]]) -> float:
    return statistics.median(b / a for a, b in zip(*times, strict=True))


def compared(case: str, device: torch.device, rounds: int) -> dict[str, object]:
    _, shape, small, large = CASES[case]
    n = small if device.type == "cpu" else large
    x, label = torch.randn(n, *shape, device=device), torch.arange(n, device=device) % 10
    row: dict[str, object] = {"case": case, "batch": n}
    for mode in ("defaults", "fp32"):
        model, step = ours(case, device, plain=mode == "fp32")
        peer, their_step = theirs(case, model, device)
        row["parameters"] = sum(p.numel() for p in model.parameters())
        times = alternated([partial(step, x, label), partial(their_step, x, label)], device, rounds)
        row[f"train {mode}"] = ratio(times)
        row[f"train {mode} examples/s"] = [n / statistics.median(t) for t in times]
        model.eval()
        peer.eval()
        level, t = model.noise.at(500), torch.full((n,), 500, device=device)
        level = type(level)(level.alpha.to(device), level.sigma.to(device))

        def evaluate(model=model, level=level) -> None:
            with torch.no_grad():
                model.denoise(n, label=label.cpu())(x, level)

        def their_evaluate(peer=peer, t=t) -> None:
            with torch.no_grad():
                peer(x, t, class_labels=label)

        times = alternated([evaluate, their_evaluate], device, rounds)
        row[f"sample {mode}"] = ratio(times)
        row[f"sample {mode} evaluations/s"] = [n / statistics.median(t) for t in times]
    for who in ("ours", "theirs"):
        answer = subprocess.run([sys.executable, __file__, case, "--alone", who], capture_output=True, text=True, check=True)
        row[f"peak {who} GiB"] = int(answer.stdout.split()[-1]) / 2**30
    return row


def alone(case: str, who: str, device: torch.device) -> int:
    """Peak bytes of four training steps of one of the two, beyond what an idle process holds."""
    _, shape, small, large = CASES[case]
    n = small if device.type == "cpu" else large
    x, label = torch.randn(n, *shape, device=device), torch.arange(n, device=device) % 10
    reset_peak(device)
    idle = peak_memory(device) or 0
    model, step = ours(case, device, plain=False)
    if who == "theirs":
        _, step = theirs(case, model, device)
        model.to("meta")
    for _ in range(4):
        step(x, label)
    return (peak_memory(device) or 0) - idle


def ceiling(device: torch.device) -> dict[str, float]:
    """What the machine reaches on a matrix product (TFLOP/s) and a copy (GB/s)."""
    found = {}
    n = 2048 if device.type == "cpu" else 8192
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(n, n, device=device, dtype=dtype)
        times, _ = alternated([lambda a=a: a @ a, lambda: None], device, 5, 0.5)
        found[f"matmul {str(dtype)[6:]} TFLOP/s"] = 2 * n**3 / min(times) / 1e12
    big = torch.empty(2**28, dtype=torch.uint8, device=device)
    other = torch.empty_like(big)
    times, _ = alternated([lambda: other.copy_(big), lambda: None], device, 5, 0.3)
    return found | {"copy GB/s": 2 * 2**28 / min(times) / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--alone", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    device = best()
    keep_memory()
    if asked.alone:
        print(alone(asked.cases[0], asked.alone, device))
        return
    result: dict[str, object] = {"machine": machine(device), "ceiling": ceiling(device), "rows": []}
    print(result["machine"], result["ceiling"], sep="\n")
    for case in asked.cases or CASES:
        row = compared(case, device, asked.rounds)
        result["rows"].append(row)  # type: ignore[attr-defined]
        for key, value in row.items():
            print(
                f"  {key:34}",
                [round(v, 2) for v in value] if isinstance(value, list) else value if not isinstance(value, float) else round(value, 3),
            )
        print(flush=True)
        if asked.out:
            asked.out.parent.mkdir(parents=True, exist_ok=True)
            asked.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
