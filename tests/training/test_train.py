"""The training run: what is lost when it is cut (nothing), and what it leaves."""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import fromnoise.training.loop as training
import fromnoise.training.step as gradients
from fromnoise.conditions import Label
from fromnoise.config import Recipe
from fromnoise.draws import Draws, mixed
from fromnoise.errors import Problem, Usage
from fromnoise.model import load, with_high
from fromnoise.runs.folder import Run
from fromnoise.training.denoising import stratified
from fromnoise.training.loop import train
from fromnoise.training.setup import examples, setup

RECIPE = {
    "data": {"name": "tests.parts:blobs"},
    "network": {"name": "conv", "width": 16},
    "conditions": [{"name": "label", "drop": 0.2}],
    "train": {"steps": 20, "batch": 16, "save_every": 6, "evals": 2, "held_out": 8, "log_every": 1, "warmup": 32},
    "sample": {"name": "ddim", "steps": 2},
}


def recipe(**changes):
    return {key: (value | changes.get(key, {}) if isinstance(value, dict) else value) for key, value in RECIPE.items()} | {
        key: value for key, value in changes.items() if not isinstance(value, dict) or key not in RECIPE
    }


def same(a: Path, b: Path) -> bool:
    one, two = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def cut_short(config, folder, monkeypatch, when):
    """Trains until `when(state)` holds after a step, and dies there before anything is written of it."""
    step = training.Monitor.step

    def crash(self, *rest):
        if when(self.state):
            raise MemoryError("the power went")
        step(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(training.Monitor, "step", crash)
        with pytest.raises(MemoryError):
            train(config, folder, quiet=True)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"train": {"optimizer": "schedule_free"}},
        {"train": {"rate": "plateau"}},
        {"network": {"name": "unet", "width": 8, "levels": [1], "dropout": 0.3}},
    ],
)
def test_a_crashed_and_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch, change):
    change = dict(change)
    network = change.pop("network", RECIPE["network"])
    config = recipe(**change) | {"network": network}
    train(config, tmp_path / "whole", quiet=True)
    cut_short(config, tmp_path / "cut", monkeypatch, lambda state: state.step == 15)
    train(config, tmp_path / "cut", quiet=True)
    assert same(tmp_path / "whole", tmp_path / "cut")
    steps = [entry["step"] for entry in Run(tmp_path / "cut").entries() if "loss" in entry]
    assert steps == list(range(1, 21)), "every step is logged once"
    whole = [entry["loss"] for entry in Run(tmp_path / "whole").entries() if "loss" in entry]
    assert whole == [entry["loss"] for entry in Run(tmp_path / "cut").entries() if "loss" in entry]


def test_the_best_weights_by_held_out_loss_are_kept(tmp_path, monkeypatch):
    """Three evaluations, the second the best: its weights stay, the last ones are the run's."""
    losses, seen = iter([0.5, 0.2, 0.4]), []
    monkeypatch.setattr(training.Monitor, "held_out", lambda self: (next(losses), {}))
    real = training.keep_best

    def spy(run, step, parts, held_out):
        seen.append([average.clone() for average in parts.ema.average])
        real(run, step, parts, held_out)

    monkeypatch.setattr(training, "keep_best", spy)
    train(recipe(train={"evals": 3}), tmp_path / "run", quiet=True)
    best, last = (list(load(tmp_path / "run", "cpu", weights=name).parameters()) for name in ("best", "last"))
    assert all(torch.equal(p, q) for p, q in zip(best, seen[1], strict=True))
    assert all(torch.equal(p, q) for p, q in zip(last, seen[2], strict=True))
    with pytest.raises(Usage, match="it has last, best"):
        load(tmp_path / "run", "cpu", weights="worst")


def test_a_schedule_free_run_is_its_average_x_and_goes_on_from_y(tmp_path, monkeypatch):
    """x = (y - (1 - beta1) z) / beta1 (Defazio et al. 2024) is what is evaluated, saved, best, kept and sampled; the checkpoint holds y and z."""
    seen, real = [], training.Monitor.held_out

    def held_out(self):
        seen.append([p.detach().clone() for p in self.parts.parameters])
        return real(self)

    monkeypatch.setattr(training.Monitor, "held_out", held_out)
    change = {"optimizer": "schedule_free", "keep": 1, "evals": 1, "lr": 0.01, "betas": [0.8, 0.99]}
    run = train(recipe(train=change), tmp_path / "run", quiet=True)
    saved, x = run.load_checkpoint(), {}
    for i, (name, _) in enumerate(load(run.path, "cpu").named_parameters()):
        y, z = saved["model"][name].double(), saved["optimizer"]["state"][i]["z"].double()
        x[name] = (y - 0.2 * z) / 0.8
    assert max(float((x[name] - saved["model"][name]).abs().max()) for name in x) > 1e-3, "x is not y"
    for weights in ("last", "best", "step_00000020"):
        for (name, found), evaluated in zip(load(run.path, "cpu", weights=weights).named_parameters(), seen[-1], strict=True):
            assert torch.allclose(found.double(), x[name], atol=1e-6) and torch.equal(found, evaluated), (weights, name)


@pytest.mark.parametrize("first", [float("nan"), float("inf")])
def test_a_held_out_loss_that_is_not_a_number_is_never_the_best(tmp_path, monkeypatch, first):
    losses = iter([first, 0.5, 0.4])
    monkeypatch.setattr(training.Monitor, "held_out", lambda self: (next(losses), {}))
    run = train(recipe(train={"evals": 3}), tmp_path / "run", quiet=True)
    best, last = (load_file(run.weights_named(name)) for name in ("best", "last"))
    assert all(torch.equal(best[name], last[name]) for name in last), "the last evaluation was the best"


def test_the_best_few_weights_stay_and_make_room_for_better_ones_also_after_a_resume(tmp_path, monkeypatch):
    """Of losses 5, 2, 4, 3 at steps 5, 10, 15, 20 two are steps 10 and 20; a rerun to 50 with 6 and 1 replaces the worst of them, and one with k = 1 none."""
    losses = {5: 0.5, 10: 0.2, 15: 0.4, 20: 0.3, 25: 0.6, 50: 0.1, 75: 0.05}
    monkeypatch.setattr(training.Monitor, "held_out", lambda self: (losses[self.state.step], {}))

    def kept(steps, evals, most):
        run = train(recipe(train={"steps": steps, "evals": evals, "keep_best": most}), tmp_path / "run", quiet=True)
        best = load_file(run.weights_named("best"))
        named = {int(p.stem[5:]): load_file(p) for p in sorted((run.path / "weights").glob("best_*"))}
        same = [step for step, weights in named.items() if all(torch.equal(weights[name], best[name]) for name in best)]
        return list(named), same

    assert kept(20, 4, 2) == ([10, 20], [10])
    assert kept(50, 2, 2) == ([10, 50], [50])
    assert kept(75, 1, 1) == ([10, 50], []), "fewer: what was kept stays, and the best is another"


def test_weights_that_were_kept_stay_where_fewer_are_kept_from_then_on(tmp_path):
    def kept(steps, keep):
        run = train(recipe(train={"steps": steps, "keep": keep, "save_every": 5, "evals": 0}), tmp_path / "run", quiet=True)
        return [int(p.stem[5:]) for p in sorted((run.path / "weights").glob("step_*"))]

    assert kept(20, 3) == [10, 15, 20]
    assert kept(30, 3) == [20, 25, 30], "the last three, also where the run was resumed"
    assert kept(40, 1) == [20, 25, 30, 40]
    assert kept(50, 0) == [20, 25, 30, 40]


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_the_average_at_the_end_has_seen_the_last_step(tmp_path, steps):
    """With a half-life near 0 the average is the weights, also where the number of steps is no multiple of the interval."""
    train(recipe(train={"steps": steps, "ema_warmup": 0.0, "save_every": None}), tmp_path / "run", quiet=True)
    saved = Run(tmp_path / "run").load_checkpoint()
    assert all(torch.equal(average, saved["model"][name]) for average, name in zip(saved["ema"]["average"], saved["model"], strict=True))


def test_without_held_out_examples_no_loss_is_claimed(tmp_path):
    train(recipe(train={"held_out": 0}), tmp_path / "run", quiet=True)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["held_out"] is None
    assert not [entry for entry in Run(tmp_path / "run").entries() if "held_out" in entry]
    with pytest.raises(Usage, match="plateau follows the held-out loss"):
        train(recipe(train={"held_out": 0, "rate": "plateau"}), tmp_path / "other", quiet=True)


def test_a_run_in_fp32_samples_in_fp32(tmp_path):
    train(recipe(train={"precision": "fp32", "steps": 1}), tmp_path / "run", quiet=True)
    assert load(tmp_path / "run", "cpu").denoiser.autocast is None


def test_another_seed_is_another_run(tmp_path):
    train(recipe(seed=0), tmp_path / "a", quiet=True)
    train(recipe(seed=1), tmp_path / "b", quiet=True)
    assert not same(tmp_path / "a", tmp_path / "b")


def test_the_run_folder_describes_itself(tmp_path):
    train(recipe(train={"keep": 2, "save_every": 5}), tmp_path / "run", quiet=True)
    files = {str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert {"config.yaml", "environment.json", "model.safetensors", "last.ckpt", "log.jsonl", "report.html", "summary.json"} <= files
    assert {"samples/final.png", "samples/reverse.gif", "samples/step_00000020.png"} <= files
    assert sorted(f for f in files if f.startswith("weights/")) == [
        "weights/best.safetensors",
        "weights/step_00000015.safetensors",
        "weights/step_00000020.safetensors",
    ]
    assert not [f for f in files if "/." in f or f.startswith(".")], "no temporary file is left"
    model = load(tmp_path / "run", "cpu")
    assert model.shape == (1, 8, 8) and model.classes == ("left", "right")
    samples = model.sample(4, label=[0, 1, 0, 1], guidance=2.0)
    assert samples.shape == (4, 1, 8, 8) and samples.abs().max() <= 1
    held_out = [e for e in Run(tmp_path / "run").entries() if "held_out" in e]
    assert len(held_out) == 2 and held_out[-1]["held_out"] < held_out[0]["held_out_by_level"]["0.05"] + 10


def test_a_finished_run_can_be_extended_but_not_changed(tmp_path):
    train(recipe(), tmp_path / "run", quiet=True)
    train(recipe(train={"steps": 25}), tmp_path / "run", quiet=True)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 25
    with pytest.raises(Problem, match=r"train\.lr.*--out.*--fresh"):
        train(recipe(train={"lr": 0.5}), tmp_path / "run", quiet=True)
    train(recipe(train={"lr": 0.5}), tmp_path / "run", fresh=True, quiet=True)
    assert (tmp_path / "run.old1" / "model.safetensors").is_file(), "fresh keeps the earlier run"


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(Problem, match="choose another --out"):
        train(recipe(), tmp_path, quiet=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_step_that_is_not_finite_is_skipped(tmp_path):
    train(recipe(data={"name": "tests.parts:poisoned"}, conditions=[]), tmp_path / "run", quiet=True)
    events = [entry for entry in Run(tmp_path / "run").entries() if entry.get("event") == "skipped"]
    assert len(events) == 5, "one batch of the four in each of five epochs holds the NaN"
    assert "data holds NaN" in events[0]["why"]
    assert all(torch.isfinite(w).all() for w in load_file(tmp_path / "run" / "model.safetensors").values())


def failing(monkeypatch, calls: tuple[int, ...], norm: float = float("nan")) -> None:
    """Gradients whose norm is not finite at these steps, counted as they are taken, from 0."""
    real, count = gradients.Gradient.__call__, itertools.count()

    def gradient(*args):
        value, real_norm = real(*args)
        return value, norm if next(count) in calls else real_norm

    monkeypatch.setattr(gradients.Gradient, "__call__", gradient)


def test_bad_steps_go_back_to_the_last_checkpoint_at_a_lower_rate(tmp_path, monkeypatch):
    failing(monkeypatch, (13, 14, 15), float("inf"))
    train(recipe(train={"max_bad_steps": 3, "rate": "constant", "warmup": 0}), tmp_path / "run", quiet=True)
    entries = list(Run(tmp_path / "run").entries())
    back = next(e for e in entries if e.get("event") == "rolled back")
    assert back["step"] == 12, "step 12 was the last to be saved"
    assert [e["lr"] for e in entries if e.get("step") == 20 and "lr" in e] == [0.5e-3]


def test_no_loss_that_is_not_finite_enters_the_log_and_speed_is_counted_anew(tmp_path, monkeypatch):
    """Losses of NaN, one of them with a finite gradient, until the run goes back: the lines before and after are numbers, and no speed is 0 or less."""
    real, count = gradients.Gradient.__call__, itertools.count()

    def gradient(*args):
        value, norm = real(*args)
        number = next(count)
        return (value * float("nan"), norm if number == 3 else float("nan")) if number in (3, 15, 16, 17) else (value, norm)

    monkeypatch.setattr(gradients.Gradient, "__call__", gradient)
    run = train(recipe(train={"max_bad_steps": 3}), tmp_path / "run", quiet=True)
    lines = [entry for entry in run.entries() if "loss" in entry]
    assert [entry["step"] for entry in lines] == [1, 2, 3, *range(5, 16), *range(13, 21)]
    for key in ("loss", "loss_ema", "norm", "images_per_second"):
        assert all(0 < entry[key] < float("inf") for entry in lines), key
    assert run.load_checkpoint()["state"]["loss_ema"] == lines[-1]["loss_ema"]


def test_a_run_that_fails_before_its_first_save_goes_back_to_its_beginning(tmp_path, monkeypatch):
    failing(monkeypatch, (4, 5, 6))
    train(recipe(train={"max_bad_steps": 3, "save_every": None}), tmp_path / "run", quiet=True)
    back = next(e for e in Run(tmp_path / "run").entries() if e.get("event") == "rolled back")
    assert back["step"] == 0 and json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 20


def test_a_save_that_falls_due_among_bad_steps_does_not_replace_the_last_good_one(tmp_path, monkeypatch):
    failing(monkeypatch, (11, 12, 13))
    train(recipe(train={"max_bad_steps": 3}), tmp_path / "run", quiet=True)
    back = next(e for e in Run(tmp_path / "run").entries() if e.get("event") == "rolled back")
    assert back["step"] == 6, "step 12 was due while steps failed"


def test_every_n_steps_weights_are_kept_also_where_nothing_else_is_saved(tmp_path):
    train(recipe(train={"save_every": None, "keep_every": 8}), tmp_path / "run", quiet=True)
    assert sorted(p.stem for p in (tmp_path / "run" / "weights").glob("step_*")) == ["step_00000008", "step_00000016"]


def test_the_held_out_loss_is_of_all_classes_of_a_sorted_set(tmp_path, monkeypatch):
    seen, real = [], training.Monitor.held_out

    def held_out(self):
        get = self.parts.test.get
        self.parts.test.get = lambda indices: seen.append(indices.tolist()) or get(indices)
        return real(self)

    monkeypatch.setattr(training.Monitor, "held_out", held_out)
    train(recipe(train={"held_out": 4, "evals": 1, "steps": 2}), tmp_path / "run", quiet=True)
    total = len(examples(recipe()["data"], "test"))
    assert seen[0] == [0, total // 4, total // 2, 3 * total // 4]


def test_a_run_killed_between_its_last_save_and_its_end_is_finished_later(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(training.Monitor, "finish", lambda *args: (_ for _ in ()).throw(MemoryError("the power went")))
        with pytest.raises(MemoryError):
            train(recipe(), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "summary.json").exists()
    train(recipe(), tmp_path / "run", quiet=True)
    train(recipe(), tmp_path / "whole", quiet=True)
    assert (tmp_path / "run" / "samples" / "final.png").is_file() and same(tmp_path / "run", tmp_path / "whole")


def test_an_extended_run_does_not_show_its_old_summary(tmp_path, monkeypatch):
    train(recipe(), tmp_path / "run", quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr(training.Monitor, "step", lambda *args: (_ for _ in ()).throw(MemoryError("the power went")))
        with pytest.raises(MemoryError):
            train(recipe(train={"steps": 30}), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sample": {"guidance": 2.0}, "conditions": []}, "no condition to guide by"),
        ({"sample": {"guidance": 2.0}, "conditions": [{"name": "label", "drop": 0.0}]}, "cannot be guided"),
        ({"sample": {"options": {"eta": [1]}}}, "option eta"),
        ({"sample": {"options": {"eta": "much"}}}, "option eta is a number"),
        ({"sample": {"guidance": float("nan")}}, "finite"),
        ({"sample": {"low": 3, "high": 2}}, "low < high"),
        ({"train": {"betas": [0.9]}}, "two numbers"),
        ({"train": {"betas": [0.9, 1.5]}}, "betas is a finite number from 0 to 1"),
        ({"train": {"betas": [0.0, 0.9], "optimizer": "schedule_free"}}, "schedule_free"),
        ({"train": {"betas": [0.0, 0.9], "optimizer": {"name": "schedule_free", "eps": 1e-7}}}, "schedule_free needs"),
        ({"network": {"name": "unet", "width": 8, "levels": [1], "dropout": 2.0}}, "0 <= dropout < 1"),
        ({"network": {"name": "unet", "width": 8, "levels": [1], "time": "sinusoid"}}, "did you mean 'sinusoidal'"),
        ({"network": {"name": "unet", "width": 8, "levels": [1], "head": 0, "attention": [0]}}, "head is 1 or more"),
        ({"network": 5}, "network"),
        ({"noise": {"name": ["cosine"]}}, "noise"),
        ({"noise": {"name": "karras", "rho": 0}}, "0 < rho"),
        ({"noise": "flow", "clock": "log", "predict": "v"}, "infinite at alpha = 0"),
        ({"noise": "cosine", "frame": "ve", "predict": "v"}, "infinite at alpha = 0"),
        ({"clock": ["flow"]}, "no clock"),
        ({"predict": ["v"]}, "predict"),
        ({"conditions": 5}, "conditions"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_before_anything_is_made(tmp_path, change, says):
    parts = {key: value for key, value in change.items() if key in ("train", "sample") and isinstance(value, dict)}
    config = recipe(**parts) | {key: value for key, value in change.items() if key not in parts}
    config["data"] = {"name": "digits"}  # with a part of one's own, errors keep their traceback
    with pytest.raises(Usage, match=says):
        train(config, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_fresh_leaves_a_folder_of_something_else_where_it_is(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("precious")
    with pytest.raises(Problem, match="choose another --out"):
        train(recipe(), tmp_path / "photos", fresh=True, quiet=True)
    assert (tmp_path / "photos" / "holiday.jpg").is_file()


def test_nothing_but_nan_ends_with_the_reason(tmp_path):
    with pytest.raises(Problem, match="training cannot go on: the data holds NaN"):
        train(recipe(data={"name": "tests.parts:all_poisoned"}, conditions=[]), tmp_path / "run", quiet=True)


def test_accumulation_does_not_change_the_result(tmp_path):
    """The gradient of a batch is the mean of its parts' gradients."""
    plain = recipe(conditions=[], train={"precision": "fp32"})
    train(plain, tmp_path / "one", quiet=True)
    train(recipe(conditions=[], train={"precision": "fp32", "accumulate": 4}), tmp_path / "four", quiet=True)
    one, four = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "four"))
    assert all(torch.allclose(one[key], four[key], atol=2e-4) for key in one)


def test_stratified_times_meet_every_part_once():
    t = stratified(Draws.fixed(64))
    assert sorted((t * 64).long().tolist()) == list(range(64))


def test_seeds_are_spread():
    seeds = {mixed(stream, seed, step, 0) for seed in range(5) for stream in "abcde" for step in range(400)}
    assert len(seeds) == 5 * 5 * 400
    bits = torch.tensor([[s >> b & 1 for b in range(63)] for s in seeds]).double().mean(0)
    assert (bits - 0.5).abs().max() < 0.03, "no bit is fixed"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train": {"steps": None}}, "train.minutes"),
        ({"train": {"batch": 0}}, "train: batch is a whole number from 1 to"),
        ({"train": {"batch": "many"}}, "batch is a whole number from 1 to 1,000,000, not 'many'"),
        ({"train": {"penalty_weight": 0.5}}, "set train.penalty"),
        ({"train": {"stpes": 3}}, "did you mean 'steps'"),
        ({"train": {"optimizer": "sgd"}}, "no train.optimizer 'sgd'; one of: adamw"),
        ({"train": {"batch": 15, "accumulate": 2}}, "multiple"),
        ({"network": {"name": "cnov"}}, "did you mean 'conv'"),
        ({"predict": "epsilon"}, "no prediction type 'epsilon'"),
        ({"predict": "eps", "noise": {"name": "cosine", "high": 1.0}}, r"eps says nothing about x0 at alpha = 0: set noise\.high"),
        ({"noise": {"name": "cosine", "hihg": 1.0}}, "did you mean 'high'"),
        ({"sample": {"name": "ddimm"}}, "did you mean 'ddim'"),
        ({"sample": {"options": {"eat": 1}}}, "no option 'eat'; did you mean 'eta'"),
        ({"seed": "zero"}, "seed is a whole number"),
        ({"tarin": {}}, "did you mean 'train'"),
        ({"data": {"name": "tests.parts:nothing"}}, "cannot import"),
    ],
)
def test_wrong_settings_are_named(tmp_path, change, words):
    with pytest.raises(Usage, match=words):
        train(recipe(**change), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists(), "nothing is made before all is checked"


@pytest.mark.parametrize("noise", [None, "flow", {"name": "shifted", "base": "flow"}])
def test_eps_alone_ends_the_noise_before_its_end_and_says_so(tmp_path, capsys, noise):
    settings = recipe(predict="eps", train={"steps": 2}) | {"noise": noise}
    run = train(settings, tmp_path / "run")
    assert "eps says nothing about x0 in pure noise, so noise.high is 0.99" in capsys.readouterr().err
    assert run.recipe(True).noise["high"] == 0.99 and load(run.path, trust=True).noise.high == 0.99
    train(settings, tmp_path / "run")  # the same words go on with it


@pytest.mark.parametrize(("predict", "noise"), [("v", {"name": "cosine"}), ("eps", {"name": "cosine", "high": 0.999}), ("eps", {"name": "table"})])
def test_noise_that_can_be_learnt_is_left_as_it_is(predict, noise):
    assert with_high(Recipe.of({"predict": predict, "noise": noise})).noise == noise


def run_cli(*words: str, more: dict[str, str] | None = None, **options) -> subprocess.Popen:
    env = os.environ | {"OMP_NUM_THREADS": "1"} | (more or {})
    return subprocess.Popen([sys.executable, "-m", "fromnoise", *words], stderr=subprocess.PIPE, text=True, env=env, **options)


SLOWED = ["network.width=32", "train.steps=400", "train.save_every=20", "train.evals=0", "train.log_every=1"]


def wait_for(log: Path, step: int, process: subprocess.Popen) -> None:
    while process.poll() is None:
        if log.is_file() and re.search(rf'"step": {step},', log.read_text()):
            return
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, number, code):
    process = run_cli("train", "digits", *SLOWED, "--out", str(tmp_path / "run"))
    wait_for(tmp_path / "run" / "log.jsonl", 7, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code and "the same command goes on" in said
    assert Run(tmp_path / "run").load_checkpoint()["state"]["step"] >= 7


@pytest.mark.slow
def test_kill_9_loses_nothing(tmp_path):
    words = [
        "train",
        "digits",
        "network.width=16",
        "train.steps=60",

        "train.save_every=7",
        "train.evals=0",
        "train.log_every=1",
    ]
    assert run_cli(*words, "--out", str(tmp_path / "whole")).wait(timeout=120) == 0
    for moment in (3, 22, 41):
        process = run_cli(*words, "--out", str(tmp_path / "cut"))
        wait_for(tmp_path / "cut" / "log.jsonl", moment, process)
        process.kill()
        process.wait()
    assert run_cli(*words, "--out", str(tmp_path / "cut")).wait(timeout=120) == 0
    assert same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    """A limit on the size of files stands in for a full disk: the larger files of the second run cannot be written."""
    words = ["train", "digits", "network.width=16", "train.evals=0", "--out", str(tmp_path / "run")]
    assert run_cli(*words, "train.steps=4").wait(timeout=120) == 0
    before = (tmp_path / "run" / "last.ckpt").read_bytes()

    def small_files() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    process = run_cli(*words, "train.steps=8", preexec_fn=small_files)
    _, said = process.communicate(timeout=120)
    last = said.strip().splitlines()[-1]
    assert process.returncode == 1 and "free some space" in last and "Traceback" not in said
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before
    assert not list((tmp_path / "run").glob(".*")), "no half-written file is left"


@pytest.mark.slow
@pytest.mark.parametrize("source", ["gaussian", "coupled"])
def test_two_processes_learn_what_one_does(tmp_path, source):
    """50 steps of the same global batches, with dropout, labels left out, and holes in pictures: losses to 1e-5, weights to 1e-4."""
    (tmp_path / "mine.yaml").write_text(f"""
data: {{name: digits}}
network: {{name: unet, width: 8, levels: [1, 2], dropout: 0.2}}
conditions: [{{name: label, drop: 0.2}}, {{name: image, hint: masked, drop: 0.2}}]
source: {source}
train: {{steps: 50, batch: 32, evals: 2, log_every: 1, precision: fp32, lr: 5.0e-4, warmup: 320, save_every: 20}}
sample: {{name: ddim, steps: 2}}
""")
    words = ["-m", "fromnoise", "train", str(tmp_path / "mine.yaml"), "--device", "cpu", "--quiet", "--out"]
    for name, launcher in (("one", []), ("two", ["-m", "torch.distributed.run", "--nproc-per-node=2"])):
        command = [sys.executable, *launcher, *words, str(tmp_path / name)]
        done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    one, two = (list(Run(tmp_path / name).entries()) for name in ("one", "two"))
    for key in ("loss", "loss_ema", "held_out"):
        figures = [[entry[key] for entry in log if key in entry] for log in (one, two)]
        assert len(figures[0]) == (2 if key == "held_out" else 50) and figures[0] == pytest.approx(figures[1], abs=1e-5)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    assert all(torch.allclose(weights[0][key], weights[1][key], atol=1e-4, rtol=0) for key in weights[0])
    assert load(tmp_path / "two", "cpu").sample(2).shape == (2, 1, 8, 8)


def test_a_run_is_on_the_device_that_is_named_and_what_is_prepared_too(monkeypatch):
    """Its number too; there is one of each kind here, so a CPU that is called the fourth stands for a GPU."""
    class Enough(Exception):
        pass

    def prepare(condition, data):
        assert condition.embed.weight.device.type == "meta"
        raise Enough

    with monkeypatch.context() as patch, pytest.raises(Enough):
        patch.setattr(Label, "prepare", prepare)
        setup(recipe(), "meta")
    monkeypatch.setattr("fromnoise.training.setup.best", lambda device: torch.device(device or "cpu"))
    assert setup(recipe(), "cpu:3").accelerator.device == torch.device("cpu:3")
    assert setup(recipe()).accelerator.device == torch.device("cpu")


def two(tmp_path: Path, text: str, **more: str) -> list[subprocess.Popen]:
    """Two processes that train together, without a launcher that would end one when the other ends."""
    (tmp_path / "mine.yaml").write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["train", str(tmp_path / "mine.yaml"), "--device", "cpu", "--quiet", "--out", str(tmp_path / "run")]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port} | more
    return [run_cli(*words, more={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in (0, 1)]


def ends(processes: list[subprocess.Popen]) -> list[tuple[int, list[str]]]:
    """(exit code, the lines it said, without torch's own) of each, which must end by itself."""
    try:
        said = [process.communicate(timeout=60)[1].splitlines() for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, [line for line in lines if "fromnoise" in line or "Traceback" in line])
            for process, lines in zip(processes, said, strict=True)]  # fmt: skip


ENDLESS = """
data: {name: "tests.parts:blobs"}
network: {name: conv, width: 16}
train: {steps: 100000, batch: 16, evals: 0, log_every: 1, save_every: 5}
"""


@pytest.mark.slow
def test_two_processes_whose_captions_are_all_left_out_go_on(tmp_path):
    """All but one caption of 64 is empty: at most steps no word reaches the table in one of the processes, or in both."""
    processes = two(tmp_path, """
data: {name: "tests.parts:never"}
network: {name: unet, width: 8, levels: [1], blocks: 1, attention: [0]}
conditions: [{name: text, encoder: words, width: 8, drop: 0.1}]
train: {steps: 40, batch: 4, evals: 0, log_every: 1}
""")  # fmt: skip
    assert ends(processes) == [(0, []), (0, [])]
    assert [e["step"] for e in Run(tmp_path / "run").entries() if "loss" in e] == list(range(1, 41))


@pytest.mark.slow
def test_a_loss_that_fails_in_one_process_is_skipped_in_both(tmp_path):
    processes = two(tmp_path, """
data: {name: "tests.parts:blobs"}
network: {name: conv, width: 16}
noise: {name: cosine, high: 0.996}
train: {steps: 40, batch: 8, evals: 0, log_every: 1, weight: "tests.parts:one_fails", max_bad_steps: 20}
""")  # fmt: skip
    assert ends(processes) == [(0, []), (0, [])]
    entries = list(Run(tmp_path / "run").entries())
    assert len([e for e in entries if e.get("event") == "skipped"]) > 3
    assert all(torch.isfinite(torch.tensor(e["loss"])) for e in entries if "loss" in e)
    assert all(torch.isfinite(w).all() for w in load_file(tmp_path / "run" / "model.safetensors").values())


@pytest.mark.slow
def test_a_signal_at_one_process_saves_and_ends_both(tmp_path):
    processes = two(tmp_path, ENDLESS)
    wait_for(tmp_path / "run" / "log.jsonl", 7, processes[0])
    processes[1].send_signal(signal.SIGINT)
    for code, lines in ends(processes):
        assert code == 130 and len(lines) == 1 and "stopped and saved" in lines[0]


@pytest.mark.slow
def test_a_signal_while_the_main_process_draws_the_last_pictures_ends_both(tmp_path):
    processes = two(tmp_path, """
data: {name: "tests.parts:blobs"}
network: {name: conv, width: 64}
train: {steps: 2, batch: 16, evals: 0}
sample: {name: ddim, steps: 1000}
""")  # fmt: skip
    while not (tmp_path / "run/summary.json").is_file() and processes[0].poll() is None:
        time.sleep(0.01)
    for process in processes:
        process.send_signal(signal.SIGINT)
    for code, lines in ends(processes):
        assert code == 130 and len(lines) == 1 and "stopped and saved" in lines[0]
    assert (tmp_path / "run/model.safetensors").is_file() and not (tmp_path / "run/samples/final.png").exists()


@pytest.mark.slow
def test_processes_of_which_one_has_no_memory_to_evaluate_keep_one_rate(tmp_path):
    """The loss that the main process measures rises, so that after six evaluations `plateau` halves the rate: in both."""
    processes = two(tmp_path, """
data: {name: "tests.parts:blobs"}
network: {name: conv, width: 16}
train: {steps: 18, batch: 16, evals: 9, held_out: 2, warmup: 0, lr: 1.0e-3, rate: plateau, weight: "tests.parts:rising", optimizer: "tests.parts:noted"}
sample: {name: ddim, steps: 1}
""", NOTED=str(tmp_path / "rates"))  # fmt: skip
    assert ends(processes) == [(0, []), (0, [])]
    rates = [[float(line) for line in (tmp_path / f"rates{rank}").read_text().split()] for rank in (0, 1)]
    assert rates[0] == rates[1] == [1e-3] * 12 + [5e-4] * 6


@pytest.mark.slow
def test_where_a_process_dies_the_other_ends_with_a_line(tmp_path):
    processes = two(tmp_path, ENDLESS)
    wait_for(tmp_path / "run" / "log.jsonl", 7, processes[0])
    processes[1].kill()
    code, lines = ends(processes)[0]
    assert code == 1 and len(lines) == 1 and "another process of this training has ended" in lines[0]
