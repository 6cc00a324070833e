"""On a CUDA device, what the CPU says is the answer: networks and gradients, samples, runs, what is compiled, and memory that runs out."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from fromnoise.model import load
from fromnoise.runs import Run
from fromnoise.training.loop import train
from tests.parts import built, stirred

SMALL = {
    "mlp": {"width": 32, "depth": 2},
    "conv": {"width": 16, "kernel": 3},
    "conv_adaln": {"width": 32},
    "unet": {"width": 32, "levels": [1, 2], "blocks": 1, "attention": [1]},
    "convnext_unet": {"width": 16, "levels": [1, 2]},
    "dit": {"width": 64, "depth": 2, "heads": 4, "patch": 2},
    "uvit": {"width": 64, "depth": 3, "heads": 4, "patch": 2},
}
RECIPE = {
    "data": {"name": "tests.parts:blobs"},
    "network": {"name": "unet", "width": 16, "levels": [1, 2], "blocks": 1, "attention": [1]},
    "conditions": [{"name": "label", "drop": 0.2}],
    "train": {"steps": 40, "batch": 32, "save_every": 10, "evals": 2, "held_out": 8, "log_every": 1, "warmup": 64, "compile": False},
    "sample": {"name": "ddim", "steps": 5, "guidance": 2.0},
}


@pytest.fixture(autouse=True)
def exact():
    """float32 is float32: no TF32 in products and convolutions."""
    parts = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [part.allow_tf32 for part in parts]
    for part in parts:
        part.allow_tf32 = False
    yield
    for part, value in zip(parts, before, strict=True):
        part.allow_tf32 = value


def recipe(network=None, **train):
    return RECIPE | {"network": network or RECIPE["network"], "train": RECIPE["train"] | train}


def off(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, in units of the largest value."""
    return float((a.detach().cpu().double() - b.detach().cpu().double()).abs().max() / b.detach().abs().max().clamp(min=1e-12))


def network_of(name: str):
    model = built({"network": {"name": name, **SMALL[name]}, "conditions": [{"name": "label", "drop": 0.0}]}, (3, 16, 16), ("a", "b", "c"))
    stirred(model)
    return model


def answers(model, device: str):
    """(output, gradient of its sum of squares by every parameter) of one batch."""
    generator = torch.Generator().manual_seed(1)
    model.to(device).zero_grad()
    batch = {"x": torch.randn(6, 3, 16, 16, generator=generator).to(device), "label": (torch.arange(6) % 3).to(device)}
    level = model.noise((torch.arange(6) + 0.5) / 6)
    level = type(level)(level.alpha.to(device), level.sigma.to(device))
    value = model(batch, level, torch.randn(6, 3, 16, 16, generator=generator).to(device))
    value.sum().backward()
    return value.detach().cpu(), {name: p.grad.detach().cpu() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", SMALL)
def test_losses_and_gradients_are_those_of_the_cpu(name):
    model = network_of(name)
    expected, gradients = answers(model, "cpu")
    found, on_gpu = answers(model, "cuda")
    assert off(found, expected) < 1e-4
    assert gradients.keys() == on_gpu.keys()
    scale = max(float(g.abs().max()) for g in gradients.values())
    assert all(float((on_gpu[key] - gradients[key]).abs().max()) < 1e-4 * scale for key in gradients)


@pytest.mark.parametrize("name", ["unet", "dit"])
def test_a_compiled_network_is_the_plain_one(name):
    model = network_of(name)
    expected, gradients = answers(model, "cuda")
    model.denoiser.network.compile(dynamic=False)
    found, compiled = answers(model, "cuda")
    assert off(found, expected) < 1e-4
    scale = max(float(g.abs().max()) for g in gradients.values())
    assert all(float((compiled[key] - gradients[key]).abs().max()) < 1e-4 * scale for key in gradients)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu") / "run"
    train(recipe(precision="fp32"), folder, quiet=True)
    return folder


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "unipc", "heun", "dpmpp_2m_sde"])
def test_the_same_seed_gives_the_samples_of_the_cpu(run, sampler):
    drawn = []
    for device in ("cpu", "cuda"):
        model = load(run, device, trust=True)
        model.denoiser.autocast = None
        drawn.append(model.sample(6, model.sampling.merged({"sampler": sampler, "steps": 8, "options": {}}), seed=3))
    assert drawn[1].device.type == "cuda"
    assert off(drawn[1], drawn[0]) < 1e-3


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "schedule_free"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, optimizer):
    from tests.training.test_train import cut_short

    config = recipe(optimizer=optimizer)
    train(config, tmp_path / "whole", quiet=True)
    with pytest.MonkeyPatch.context() as patch:
        cut_short(config, tmp_path / "cut", patch, lambda state: state.step == 25)
    train(config, tmp_path / "cut", quiet=True)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(off(two[key].float(), one[key].float()) < 1e-2 for key in one)  # a GPU adds in no fixed order
    losses = [[entry["loss"] for entry in Run(tmp_path / name).entries() if "loss" in entry] for name in ("whole", "cut")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_where_memory_runs_out_batches_are_cut_finer(tmp_path):
    network = {"name": "unet", "width": 64, "levels": [1, 2], "blocks": 2, "attention": [1]}
    settings = {"steps": 2, "batch": 1024, "evals": 0, "precision": "fp32", "save_every": 2}
    torch.cuda.empty_cache()
    share = 0.75 * 2**30 / torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        run = train(RECIPE | {"data": {"name": "tests.parts:blobs", "size": 32, "count": 2048}} | {"network": network, "train": RECIPE["train"] | settings},
                    tmp_path / "run", quiet=True)  # fmt: skip
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    why = [entry["why"] for entry in run.entries() if entry.get("event") == "memory"]
    assert len(why) == 1 and "parts, with the same result" in why[0]


def cli(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "fromnoise", *words], capture_output=True, text=True, timeout=500)


def test_the_commands_as_they_come(tmp_path):
    run = str(tmp_path / "digits")
    words = ("train", "digits", "train.steps=200", "train.log_every=10", "train.save_every=50", "--out", run)
    process = subprocess.Popen([sys.executable, "-m", "fromnoise", *words], stdout=subprocess.DEVNULL)
    log = tmp_path / "digits" / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text().count('"loss"') > 7):
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for asked in (words, ("sample", run, "-n", "100", "--out", run + "/grid.png"), ("evaluate", run, "-n", "500"),
                  ("sample", run, "-n", "7", "--sampler", "dpmpp_2m_sde", "--gif", "--out", run + "/seven.npz"),
                  ("show", "reverse", run, "--out", run + "/reverse.png"), ("edit", "invert", run, "--example", "0", "--out", run + "/invert.png"),
                  ("estimate", "digits", "--seconds", "3")):  # fmt: skip
        answer = cli(*asked)
        assert answer.returncode == 0, (asked, answer.stdout[-2000:], answer.stderr[-3000:])
    assert json.loads((tmp_path / "digits" / "environment.json").read_text())["machine"] == torch.cuda.get_device_name()
    assert json.loads((tmp_path / "digits" / "evaluation.json").read_text())["n"] == 500
