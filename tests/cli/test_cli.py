"""The command line: what it writes, and what it says to wrong input."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fromnoise.cli.main import main
from fromnoise.diffusion import Flow, Linear, Shifted, Table
from fromnoise.errors import Problem
from fromnoise.model import Sampling
from fromnoise.runs.folder import VERSION, Run
from fromnoise.training.loop import train
from tests.training.test_train import recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "blobs"
    train(recipe(train={"steps": 30}), folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def free(tmp_path_factory) -> Path:
    """An unconditional run."""
    folder = tmp_path_factory.mktemp("runs") / "free"
    train(recipe(conditions=[], train={"steps": 4}), folder, quiet=True)
    return folder


def call(monkeypatch, capsys, *words) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["fromnoise", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return ended.value.code or 0, said.out, said.err


def test_sample_npz_is_as_evaluation_suites_read_it(run, tmp_path, monkeypatch, capsys):
    code, _, _ = call(monkeypatch, capsys, "sample", run, "-n", 5, "--label", "0,right", "--trust", "--out", tmp_path / "s.npz")
    assert code == 0
    file = np.load(tmp_path / "s.npz")
    assert file["arr_0"].dtype == np.uint8 and file["arr_0"].shape == (5, 8, 8, 1)
    assert file["arr_1"].tolist() == [0, 1, 0, 1, 0]


def test_sample_png_gif_and_folder(run, tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, capsys, "sample", run, "-n", 6, "--trust", "--gif", "--out", tmp_path / "grid.png")[0] == 0
    with Image.open(tmp_path / "grid.png") as picture, Image.open(tmp_path / "grid.gif") as film:
        assert picture.width > 8 and film.n_frames > 2
    assert call(monkeypatch, capsys, "sample", run, "-n", 3, "--trust", "--out", f"{tmp_path}/many/")[0] == 0
    assert len(list((tmp_path / "many").glob("*.png"))) == 3


def test_the_same_seed_gives_the_same_picture_however_batched(run, tmp_path, monkeypatch, capsys):
    drawn = ("sample", run, "-n", 8, "--seed", 4, "--sampler", "ddim", "--option", "eta=1", "--trust")
    for name, words in {"a": [], "b": ["--batch", 3]}.items():
        call(monkeypatch, capsys, *drawn, "--out", tmp_path / f"{name}.npz", *words)
    a, b = (np.load(tmp_path / f"{name}.npz")["arr_0"].astype(int) for name in "ab")
    assert np.abs(a - b).max() <= 1, "up to the rounding of a grey value"
    call(monkeypatch, capsys, "sample", run, "-n", 8, "--seed", 5, "--trust", "--out", tmp_path / "c.npz")
    assert np.abs(a - np.load(tmp_path / "c.npz")["arr_0"]).max() > 30


def test_sdedit_starts_from_a_picture(run, tmp_path, monkeypatch, capsys):
    pixels = np.zeros((20, 20), np.uint8)
    pixels[:, :10] = 220
    Image.fromarray(pixels).save(tmp_path / "left.png")
    words = ["--init", tmp_path / "left.png", "--strength", 0.01, "--steps", 50, "--sampler", "ddim", "--guidance", 1, "--label", "left"]
    call(monkeypatch, capsys, "sample", run, "-n", 2, "--trust", *words, "--out", tmp_path / "s.npz")
    back = np.load(tmp_path / "s.npz")["arr_0"][0, :, :, 0].astype(int)
    assert back[:, :3].mean() > back[:, 5:].mean() + 100, "little noise leaves the picture what it was"


def broken(run: Path, to: Path, change) -> Path:
    """A copy of a run with something wrong in it."""
    import shutil

    shutil.copytree(run, to)
    change(to)
    return to


def cut(name: str):
    def change(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:200])

    return change


def newer(folder: Path) -> None:
    file = folder / "config.yaml"
    file.write_text(file.read_text().replace(f"version: {VERSION}", "version: 99"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "holds no weights yet"),
        (cut("model.safetensors"), "cut short"),
        (newer, "run format 99"),
        (lambda f: (f / "config.yaml").unlink(), "no config.yaml"),
        (lambda f: (f / "config.yaml").write_text("network: [unclosed"), "not readable as YAML"),
        (lambda f: (f / "config.yaml").write_text((f / "config.yaml").read_text().replace("width: 16", "width: 24")), "another model"),
    ],
)
def test_a_broken_run_is_one_line(run, tmp_path, monkeypatch, capsys, change, words):
    code, _, err = call(monkeypatch, capsys, "sample", broken(run, tmp_path / "copy", change), "--trust", "--out", tmp_path / "s.png")
    assert code in (1, 2) and words in err and err.count("\n") == 1 and "Traceback" not in err
    assert not (tmp_path / "s.png").exists()


def test_a_checkpoint_cut_short_is_one_line(run, tmp_path, monkeypatch, capsys):
    copy = broken(run, tmp_path / "copy", cut("last.ckpt"))
    settings = Run(copy).recipe(trust=True)
    from fromnoise.errors import Problem

    with pytest.raises(Problem, match="cut short.*--fresh"):
        train(replace(settings, shape=(), classes=(), version=None, id=None), copy, quiet=True)
    assert (copy / "model.safetensors").is_file()


def test_a_checkpoint_that_holds_code_is_not_run(run, tmp_path):
    """weights_only: a pickle with anything but tensors and numbers is refused."""

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "pwned",))

    copy = broken(run, tmp_path / "copy", lambda folder: torch.save({"version": 2, "state": Evil()}, folder / "last.ckpt"))
    from fromnoise.errors import Problem

    with pytest.raises(Problem):
        Run(copy).load_checkpoint()
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["train", "mnits"], 2, "did you mean 'mnist'"),
        (["train", "nowhere.yaml"], 2, "there is no recipe file"),
        (["train", "digits", "train.stpes=3"], 2, "did you mean 'steps'"),
        (["train", "digits", "tarin.steps=3"], 2, "did you mean 'train'"),
        (["train", "digits", "steps"], 2, "key=value"),
        (["train", "digits", "train.batch=big"], 2, "batch is a whole number from 1 to 1,000,000, not 'big'"),
        (["train", "digits", "network=unett"], 2, "did you mean 'unet'"),
        (["train", "digits", "predict=eps", "noise=flow", "noise.high=1"], 2, "set noise.high to 0.99"),
        (["train", "digits", "sample.name=dpmpp_2n"], 2, "did you mean 'dpmpp_2m'"),
        (["train", "digits", "network.name=os:system"], 2, "os:system"),
        (["train", "digits", "--otu", "x"], 2, "--out"),
        (["sample"], 2, "Missing argument"),
        (["sample", "/nowhere"], 2, "there is no run folder"),
        (["list", "samplres"], 2, "did you mean 'samplers'"),
        (["nonsense"], 2, "No such command"),
        (["train", "digits", "epochs=3"], 2, "did you mean 'train.images'? (an epoch is the number of examples"),
        (["train", "digits", "train.epochs=3"], 2, "did you mean 'images'? (an epoch is the number of examples"),
        (["train", "digits", "width=64"], 2, "'network.width'"),
        (["train", "digits", "lr=1e-3"], 2, "'train.lr'"),
        (["train", "digits", "batch_size=64"], 2, "'train.batch'"),
        (["train", "digits", "steps=3"], 2, "'train.steps' or 'sample.steps'"),
        (["train", "digits", "resolution=8"], 2, "'data.size'"),
        (["train", "digits", "train.lr=1e-3,4e-3"], 2, "for v in 1e-3 4e-3; do fromnoise train RECIPE train.lr=$v --out runs/lr_$v; done"),
        (["train", "digits", "sample.steps=2.5"], 2, "steps is a whole number"),
        (["show", "schedules", "table:cosine"], 2, "such as table:betas=sigmoid"),
        (["show", "schedules", "table:betas=sigmiod"], 2, "did you mean 'sigmoid'"),
        (["show", "schedules", "sigmoid"], 2, "a table with betas=sigmoid"),
        (["show", "schedules", "flow", "--trust"], 2, "--data"),
        (["show", "schedules", "flow", "--seed", 3], 2, "--data"),
        (["show", "forward", "digits", "--noise", "table:steps=x"], 2, "steps is a whole number"),
        (["data", "inspect", "/nowhere"], None, "/nowhere"),
    ],
)
def test_wrong_words_are_one_line(tmp_path, monkeypatch, capsys, words, code, says):
    monkeypatch.chdir(tmp_path)
    got, _, err = call(monkeypatch, capsys, *words)
    assert got == code if code is not None else got in (1, 2)
    assert says in err and err.strip().count("\n") == 0 and "Traceback" not in err
    assert not any(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-n", 0], "greater than or equal to 1"),
        (["-n", 10**9], "less than or equal to 1000000"),
        (["--seed", 10**20], "seed is a whole number from"),
        (["--steps", 0], "steps is a whole number from 1 to"),
        (["--sampler", "dimm"], "did you mean 'ddim'"),
        (["--option", "eat=1", "--sampler", "ddim"], "did you mean 'eta'"),
        (["--option", "eta", "--sampler", "ddim"], "key=value"),
        (["--label", 2], "out of range: this model knows 0 to 1"),
        (["--label", -1], "out of range"),
        (["--label", "lef"], "did you mean 'left'"),
        (["--interval", "1"], "LOW,HIGH"),
        (["--clip", "hard"], "one of: none, static, dynamic"),
        (["--interval", "5,0.2", "-g", 2], "low < high"),
        (["--rescale", 2], "from 0 to 1"),
        (["-g", "nan"], "finite"),
        (["--batch", -1], "batch is a whole number from 1 to"),
        (["--batch", 0], "batch is a whole number from 1 to"),
        (["--label", "9" * 20], "a label is a number"),
        (["--label", "³"], "no class"),
        (["--strength", 2, "--init", "x.png"], "x.png"),
        (["--out", "samples.pt"], "end it in .png"),
        (["--weights", "bets"], "it has last, best"),
        (["--eta", 0.5], "--option eta=…"),
        (["--cfg", 3], "--guidance"),
        (["--cfg-scale", 3], "--guidance"),
        (["--guidance-scale", 3], "--guidance"),
        (["--num-steps", 3], "--steps"),
        (["--num-inference-steps", 3], "--steps"),
        (["--n-samples", 3], "--number"),
        (["--num-samples", 3], "--number"),
        (["--prompt", "a cat"], "--text"),
        (["--class", 3], "--label"),
        (["--scheduler", "ddim"], "--sampler"),
        (["--sampler", "DDIM"], "did you mean 'ddim'"),
        (["--sampler", "DPM++ 2M"], "did you mean 'dpmpp_2m'"),
        (["--sampler", "dpm++_2m"], "did you mean 'dpmpp_2m'"),
        (["--sampler", "euler_a"], "did you mean 'euler_ancestral'"),
        (["--sampler", "k_euler"], "did you mean 'euler'"),
        (["--label", "none", "-g", 3], "give one, such as --label 3"),
        (["--steps", 2.5], "valid integer"),
    ],
)
def test_wrong_sampling_is_one_line(run, tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(monkeypatch, capsys, "sample", run, "--trust", *words)
    assert code == 2 and says in err and err.strip().count("\n") == 0
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--sampler", "ddpm"], ["--option", "eta=1"]])
def test_nothing_lies_between_samples_that_draw_noise(run, tmp_path, monkeypatch, capsys, words):
    code, _, err = call(monkeypatch, capsys, "show", "interpolate", run, "--trust", *words, "-o", tmp_path / "i.png")
    assert code == 2 and "draws noise on its way" in err and "ddim" in err and not any(tmp_path.iterdir())


def test_a_run_by_its_bare_name_is_found_in_runs(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(run)
    code, _, err = call(monkeypatch, capsys, "sample", "mine")
    assert code == 2 and "did you mean runs/mine?" in err


def test_guidance_needs_a_condition(free, tmp_path, monkeypatch, capsys):
    code, _, err = call(monkeypatch, capsys, "sample", free, "--trust", "-g", 2, "--out", tmp_path / "s.png")
    assert code == 2 and "no condition to guide by" in err
    code, _, err = call(monkeypatch, capsys, "sample", free, "--trust", "-l", 2, "--out", tmp_path / "s.png")
    assert code == 2 and "trained without labels" in err


def test_a_run_with_parts_of_its_own_wants_trust(free, tmp_path, monkeypatch, capsys):
    def foreign(folder: Path) -> None:
        file = folder / "config.yaml"
        file.write_text(file.read_text().replace("name: conv", "name: tests.parts:Net"))

    code, _, err = call(monkeypatch, capsys, "sample", broken(free, tmp_path / "copy", foreign), "--out", tmp_path / "s.png")
    assert code == 1 and "--trust" in err


@pytest.mark.parametrize("part", ["noise", "data"])
def test_showing_a_run_runs_no_code(tmp_path, monkeypatch, capsys, part):
    (tmp_path / "run").mkdir()
    parts = {"data": "{name: digits}", part: f"{{name: 'os:system', command: 'touch {tmp_path}/pwned'}}"}
    text = "\n".join(f"{key}: {node}" for key, node in parts.items())
    (tmp_path / "run" / "config.yaml").write_text(f"version: {VERSION}\n{text}\n")
    code, _, err = call(monkeypatch, capsys, "show", "forward", tmp_path / "run", "--out", tmp_path / "f.png")
    assert code == 1 and "--trust" in err and not (tmp_path / "pwned").exists()


def noised(monkeypatch, name: str) -> dict:
    """What a picture of schedules is made of, in place of the picture."""
    seen = {}
    made = Image.new("RGB", (4, 4))
    monkeypatch.setattr(f"fromnoise.figures.{name}", lambda *given, **how: seen.update(given=given, **how) or made)
    return seen


def test_schedules_take_settings_of_their_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = Table(betas="sigmoid", steps=500, final_one=False)
    seen = noised(monkeypatch, "forward")
    assert call(monkeypatch, capsys, "show", "forward", "digits", "--noise", "table:betas=sigmoid,steps=500,final_one=false")[0] == 0
    assert seen["given"][1] == table
    seen = noised(monkeypatch, "schedules")
    assert call(monkeypatch, capsys, "show", "schedules", "linear", "table:end=1e-2", "shifted:base=flow,by=2")[0] == 0
    assert list(seen["given"][0].values()) == [Linear(), Table(end=0.01), Shifted(base=Flow(), by=2.0)], "linear is the curve here as everywhere"


def test_a_run_of_parts_of_its_own_is_noised_if_it_is_trusted(run, tmp_path, monkeypatch, capsys):
    words = "show", "schedules", "flow", "--data", run, "--out", tmp_path / "s.png"
    code, _, err = call(monkeypatch, capsys, *words)
    assert code == 1 and "--trust" in err
    assert call(monkeypatch, capsys, *words, "--trust")[0] == 0 and (tmp_path / "s.png").is_file()


def test_a_run_of_format_2_has_the_betas_that_it_was_trained_with(tmp_path):
    (tmp_path / "config.yaml").write_text("version: 2\nnoise: {name: shifted, base: {name: table, betas: scaled_linear, end: 0.03}}\n")
    noise = Run(tmp_path).recipe().noise
    assert noise == {"name": "shifted", "base": {"name": "table", "betas": "scaled_linear", "start": 1e-4, "end": 0.03}}


def test_a_read_only_target_is_one_line(run, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("not a folder")
    code, _, err = call(monkeypatch, capsys, "sample", run, "--trust", "--out", tmp_path / "file" / "s.png")
    assert code == 1 and "cannot write" in err and err.strip().count("\n") == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("train r.yaml --out /", "/ is no place for a run folder; choose another --out"),
        ("train r.yaml --out round", "round leads nowhere"),
        ("sample RUN --trust -n 2 --sampler json:loads", "loads is no sampler, which is called (denoise, x, levels, **options)"),
        ("data hint p.png edges --channels os:system", "no channels 'os:system'; one of: grey, rgb, rgba"),
        ("data hint p.png edges --out p.png", "--out p.png is a file that is read"),
        ("edit sdedit RUN --image p.png --trust --out link.png", "--out link.png is a file that is read"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_all_as_it_is(run, tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("p.png")
    Path("link.png").symlink_to("p.png")
    Path("round").symlink_to("round")
    Path("r.yaml").write_text("{data: 'tests.parts:blobs', network: {name: conv, width: 8}, train: {steps: 1, evals: 0}}")
    before = Path("p.png").read_bytes()
    code, out, err = call(monkeypatch, capsys, *(run if word == "RUN" else word for word in words.split()))
    assert code in (1, 2) and says in err and (out, err.count("\n")) == ("", 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link.png", "p.png", "r.yaml", "round"] and Path("p.png").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("estimate digits network.width=8 predict=builtins:int --seconds 0.1", "with parts of your own (builtins:int), TypeError: "),
        ("sample RUN -n 2 --trust --sampler failing:fails", "(failing:fails), KeyError: 'of mine' ("),
        ("show interpolate RUN -n 2 --rows 1 --steps 2 --trust --way json:loads", "(json:loads), TypeError: "),
    ],
)
def test_a_part_of_ones_own_that_fails_is_one_line_unless_all_of_it_is_wanted(run, tmp_path, monkeypatch, capsys, words, says):
    (tmp_path / "failing.py").write_text("def fails(denoise, x, levels):\n    raise KeyError('of mine')\n    yield\n")
    monkeypatch.chdir(tmp_path)
    words = [str(run) if word == "RUN" else word for word in words.split()]
    code, _, err = call(monkeypatch, capsys, *words)
    assert code == 1 and says in err and "FROMNOISE_TRACEBACK=1 shows all of it" in err and err.count("\n") == 1
    assert "failing:fails" not in err or "failing.py, line 2)" in err
    monkeypatch.setenv("FROMNOISE_TRACEBACK", "1")
    with pytest.raises((TypeError, KeyError)):
        call(monkeypatch, capsys, *words)


@pytest.mark.parametrize("words", ["[1, 2", "5", "[]"])
def test_damaged_examples_of_a_run_are_one_line(run, tmp_path, words):
    save_file({}, tmp_path / "examples.safetensors", {"text": words})
    with pytest.raises(Problem, match="examples.safetensors is damaged, .*; remove it"):
        Run(tmp_path).load_examples()


def test_list_prints_every_part(monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "list")
    assert code == 0
    for word in ("mnist_two_linear", "dpmpp_2m", "lognormal", "min_snr", "cifar10", "velocity", "two_linear"):
        assert word in out


def test_a_run_knows_what_made_it(run):
    environment = json.loads((run / "environment.json").read_text())
    assert environment["torch"] == torch.__version__ and environment["cores"] >= 1 and "version" in environment


@pytest.fixture(scope="module")
def exportable(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "unet"
    network = {"name": "unet", "width": 8, "levels": [1, 2], "blocks": 1, "compat": {"groups": 4}}
    train(recipe(train={"steps": 2, "evals": 0}) | {"network": network, "predict": "eps", "noise": {"name": "table"}}, folder, quiet=True)
    return folder


def test_export_and_import_by_command(exportable, tmp_path, monkeypatch, capsys):
    code, said, _ = call(monkeypatch, capsys, "export", exportable, tmp_path / "theirs", "--trust")
    assert code == 0 and "DDIMPipeline.from_pretrained" in said
    code, said, _ = call(monkeypatch, capsys, "import", tmp_path / "theirs", "--out", tmp_path / "back")
    assert code == 0 and "UNet of" in said
    for folder in (exportable, tmp_path / "back"):
        words = (
            "sample",
            folder,
            "--trust",
            "-n",
            2,
            "--label",
            "left",
            "--steps",
            2,
            "--sampler",
            "ddim",
            "-o",
            tmp_path / f"{folder.name}.npz",
        )
        assert call(monkeypatch, capsys, *words)[0] == 0
    one, two = (np.load(tmp_path / f"{name}.npz")["arr_0"] for name in ("unet", "back"))
    assert np.abs(one.astype(int) - two.astype(int)).max() <= 1
    for words in (("export", exportable, tmp_path / "theirs", "--trust"), ("import", tmp_path / "theirs", "--out", tmp_path / "back")):
        code, _, said = call(monkeypatch, capsys, *words)
        assert code == 1 and "nothing is overwritten" in said


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("import", "nowhere", "--out", "x"), 2, "is not there"),
        (("export", "nowhere", "x"), 2, "no run folder"),
        (("export", "nowhere", "x", "--to", "onnx"), 2, "--to is diffusers"),
        (("estimate", "digits", "--seconds", "0"), 2, "greater than or equal to 0.1"),
        (("estimate", "digits", "network=dit_s3"), 2, "did you mean"),
    ],
)
def test_wrong_words_about_models_from_elsewhere(words, code, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found, _, said = call(monkeypatch, capsys, *words)
    assert found == code and says in said and "Traceback" not in said and not list(tmp_path.iterdir())


def test_estimate_by_command(monkeypatch, capsys):
    code, said, _ = call(monkeypatch, capsys, "estimate", "digits", "--seconds", 0.2)
    assert code == 0 and "GFLOP" in said and "the whole run" in said


@pytest.mark.parametrize(
    ("place", "words"),
    [("evaluation.features.cached.train_cnn", ["-n", 20]), ("diffusion.likelihood._drift", ["--likelihood"])],
    ids=["cnn", "likelihood"],
)
def test_an_interruption_is_one_line_and_leaves_no_file(run, tmp_path, monkeypatch, capsys, place, words):
    def interrupted(*given, **more):
        raise KeyboardInterrupt

    before = sorted(run.rglob("*"))
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path))
    monkeypatch.setattr(f"fromnoise.{place}", interrupted)
    assert call(monkeypatch, capsys, "evaluate", run, *words, "--trust") == (130, "", "fromnoise: interrupted\n")
    assert sorted(run.rglob("*")) == before and not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_quick_evaluation_is_labelled_and_kept_apart(run, monkeypatch, capsys):
    monkeypatch.setattr("fromnoise.evaluation.features.cnn.EPOCHS", (1, 1))
    report = (run / "report.html").read_text()
    code, said, _ = call(monkeypatch, capsys, "evaluate", run, "--quick", "-n", 20, "--trust")
    found = json.loads((run / "quick_evaluation.json").read_text())
    assert code == 0 and "quick_evaluation.json" in said and (found["n"], found["network"]) == (20, "cnn_quick")
    assert "never with published ones" in found["protocol"] and all("quick CNN" in row["metric"] for row in found["rows"] if ": " not in row["metric"])
    assert (run / "report.html").read_text() == report and not (run / "evaluation.json").exists()


def test_train_and_evaluate_in_one_command_and_only_once(tmp_path, monkeypatch, capsys):
    from fromnoise.cli import evaluate as commands
    from fromnoise.evaluation import measured_of

    measured, out = [], tmp_path / "run"
    monkeypatch.setattr(commands, "evaluate", lambda run, sampling, what: measured.append(run.run))
    words = ("train", "digits", "train.steps=2", "train.evals=0", "evaluate.n=20", "--evaluate", "--quiet", "--out", out)
    assert call(monkeypatch, capsys, *words)[0] == 0 and measured == [out]
    run, sampling = Run(out), Sampling.of(Run(out).recipe().sample or {})
    card = measured_of(run, sampling, "cnn") | {"n": 20}
    for step, again in ((2, False), (1, True)):
        run.write_json("evaluation.json", card | {"step": step})
        measured.clear()
        code, said, _ = call(monkeypatch, capsys, *words)
        assert code == 0 and measured == [out] * again and ("already" in said) != again
