"""One training at a time in a run folder, and nothing damaged is taken for what was written."""

import shutil
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from fromnoise.errors import Problem
from fromnoise.model import load
from fromnoise.runs import locked
from fromnoise.training.loop import train
from tests.training.test_train import recipe

HOLD = "import sys, time; from fromnoise.runs import locked\nwith locked(sys.argv[1]): print('held', flush=True); time.sleep(60)"


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_training_names_the_first_and_touches_nothing(tmp_path, holder):
    with pytest.raises(Problem, match=rf"another process trains into it \(process {holder.pid} on .*--out"):
        train(recipe(), tmp_path / "run", quiet=True)
    with pytest.raises(Problem, match="another process"):
        train(recipe(), tmp_path / "run", fresh=True, quiet=True)
    assert not (tmp_path / "run").exists()


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    train(recipe(train={"steps": 2}), tmp_path / "run", quiet=True)
    train(recipe(train={"steps": 2}), tmp_path / "run", fresh=True, quiet=True)  # and with ours, too
    assert (tmp_path / "run.old1" / "model.safetensors").is_file()
    with locked(tmp_path / "run"):
        pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage") / "run"
    train(recipe(train={"steps": 4}), folder, quiet=True)
    return folder


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.7, 0.999])
@pytest.mark.parametrize("name", ["model.safetensors", "last.ckpt"])
def test_one_flipped_bit_is_found(trained, tmp_path, name, share):
    """Wherever it lies: what does not change the numbers may pass, any other number may not."""
    copy = tmp_path / "run"
    copy.mkdir()
    for file in trained.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    content = (trained / name).read_bytes()
    (copy / name).write_bytes(flipped(content, int(share * len(content))))
    with pytest.raises(Problem, match=name.replace(".", r"\.")):
        load(copy, "cpu", trust=True) if name.startswith("model") else train(recipe(train={"steps": 8}), copy, quiet=True)


def test_weights_without_a_digest_load(trained, tmp_path):
    """As other programs write them."""
    for name in ("config.yaml", "model.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    save_file(weights, tmp_path / "model.safetensors")
    found = load(tmp_path, "cpu", trust=True).state_dict()
    assert all(torch.equal(found[key], weights[key]) for key in weights)


@pytest.mark.parametrize("content", [[1, 2], {"version": "two"}, {}, torch.zeros(3)])
def test_what_is_no_checkpoint_is_one_line(tmp_path, content):
    train(recipe(train={"steps": 2}), tmp_path / "run", quiet=True)
    torch.save(content, tmp_path / "run" / "last.ckpt")
    with pytest.raises(Problem, match="is no checkpoint of a run"):
        train(recipe(train={"steps": 4}), tmp_path / "run", quiet=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda saved: saved.pop("ema"), "lost its ema"),
        (lambda saved: saved.update(model=[]), "lost its model"),
        (lambda saved: saved["state"].update(step="four"), "the state: step is a whole number"),
        (lambda saved: saved["state"].update(plateau=3), "mapping"),
        (lambda saved: saved["state"].update(steps=3), "no setting 'steps'"),
        (lambda saved: saved["state"].update(loss_count=-1), "loss_count is a whole number from 0"),
        (lambda saved: saved["state"].update(seconds=-5.0), "seconds is a finite number from 0"),
        (lambda saved: saved["state"].update(micro_batches=10**30), "micro_batches is a whole number from 1"),
        (lambda saved: saved["optimizer"].update(param_groups=float("nan")), "does not fit the settings"),
        (lambda saved: saved.update(run=torch.ones(2)), "is of another run"),
        (lambda saved: saved["ema"].update(average=None), "does not fit the settings"),
    ],
)
def test_a_checkpoint_that_says_something_else_is_one_line(trained, tmp_path, change, said):
    shutil.copytree(trained, tmp_path / "run")
    saved = torch.load(trained / "last.ckpt", weights_only=True)
    change(saved)
    torch.save(saved, tmp_path / "run" / "last.ckpt")
    with pytest.raises(Problem, match=said):
        train(recipe(train={"steps": 8}), tmp_path / "run", quiet=True)


def test_weights_without_a_checkpoint_are_not_trained_over(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "last.ckpt").unlink()
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(Problem, match="holds trained weights, and no last.ckpt.*base=.*--fresh"):
        train(recipe(train={"steps": 5}), run, quiet=True)
    assert (run / "model.safetensors").read_bytes() == before
    train(recipe(train={"steps": 1}), run, fresh=True, quiet=True)
    assert (tmp_path / "run.old1" / "model.safetensors").read_bytes() == before


def test_what_killed_processes_left_half_written_goes_and_nothing_else(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    left = [run / ".last.0123abcd.ckpt", run / "samples" / ".final.89abcdef.png", run / "weights" / ".best.00000000.safetensors"]
    others = [run / ".last.ckpt", run / ".notes.md", run / "samples" / ".hidden.0123abcde.png", run / "last.0123abcd.ckpt"]
    for file in (*left, *others):
        file.parent.mkdir(exist_ok=True)
        file.write_text("half")
    train(recipe(train={"steps": 5}), run, quiet=True)
    assert not any(file.exists() for file in left) and all(file.read_text() == "half" for file in others)


@pytest.mark.parametrize("name", ["model.safetensors", "last.ckpt"])
def test_another_runs_file_in_its_place_is_found(trained, tmp_path, name):
    """Of the same recipe, to the seed; and what says of no run that it is its own is taken."""
    run, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(trained, run)
    train(recipe(train={"steps": 4}), other, quiet=True)
    shutil.copyfile(other / name, run / name)
    with pytest.raises(Problem, match=rf"{name} is of another run"):
        load(run, "cpu", trust=True) if name.startswith("model") else train(recipe(train={"steps": 8}), run, quiet=True)
    config = run / "config.yaml"
    config.write_text("".join(line for line in config.read_text().splitlines(True) if not line.startswith("id:")))
    assert load(run, "cpu", trust=True) and train(recipe(train={"steps": 8}), run, quiet=True)


def test_a_run_keeps_its_name_and_a_fresh_one_has_its_own(tmp_path):
    def named(out=tmp_path / "run", **how):
        train(recipe(train={"steps": how.pop("steps", 2)}), out, quiet=True, **how)
        return next(line for line in (out / "config.yaml").read_text().splitlines() if line.startswith("id:"))

    first = named()
    assert named(steps=3) == first != named(fresh=True)
    assert next(line for line in (tmp_path / "run.old1" / "config.yaml").read_text().splitlines() if line.startswith("id:")) == first
