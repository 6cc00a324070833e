"""Options that would do nothing, as other options or the run are, are refused in one line that says why; nothing is written."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from fromnoise.config import recipes
from fromnoise.config.recipe import IDLE, load
from fromnoise.diffusion import Cosine
from fromnoise.errors import Usage
from fromnoise.runs import Run
from fromnoise.samplers import SAMPLERS, draws_noise, noiseless, walk
from fromnoise.training.loop import train
from fromnoise.training.setup import setup
from tests.cli.test_cli import call
from tests.training.test_train import recipe

POINTS = {"network": {"name": "mlp", "width": 8}, "train": {"steps": 2, "batch": 8, "evals": 0}, "sample": {"name": "ddim", "steps": 3}}
BETWEEN = {"data": {"name": "between", "x": "moons", "source": "checkerboard"}, "source": "paired", "predict": "iadb", "noise": "flow"}
RUNS = {
    "blobs": recipe(train={"steps": 2, "evals": 0, "keep": 1}),
    "points": POINTS | {"data": "moons"},
    "between": POINTS | BETWEEN,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Three runs, of labelled pictures, of points, and from points to points; and a picture."""
    folder = tmp_path_factory.mktemp("runs")
    Image.new("L", (8, 8), 200).save(folder / "grey.png")
    for name, settings in RUNS.items():
        train(settings, folder / name, quiet=True)
    return {name: folder / name for name in (*RUNS, "grey.png")}


def refusal(runs, tmp_path, monkeypatch, capsys, words) -> str:
    """The one line that a command is refused with; nothing is written."""
    monkeypatch.chdir(tmp_path)
    words = [str(runs.get(word, word)) for word in words.split()]
    code, said, err = call(monkeypatch, capsys, *words, *(["--trust"] if words[1] not in ("schedules", "progress") else []))
    assert (code, said) == (2, "") and err.count("\n") == 1 and not any(tmp_path.iterdir())
    return err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("sample blobs --strength 0.5", "--strength"),
        ("sample blobs --interval 0,1 -g 1", "--interval"),
        ("sample blobs --interval 1e17,1e18 -g 2", "--interval"),
        ("sample blobs --rescale 0.5 -g 1", "--rescale"),
        ("sample blobs --gif -o x.gif", "--gif"),
        ("sample between --seed 3", "--seed"),
        ("evaluate blobs --interval 0,1 -g 1", "--interval"),
        ("evaluate blobs --rescale 0.5 -g 1", "--rescale"),
        ("evaluate blobs --likelihood --sampler heun", "--sampler"),
        ("evaluate blobs --likelihood -g 3", "--guidance"),
        ("evaluate blobs --likelihood --option eta=1", "--option"),
        ("evaluate blobs --likelihood --clip static", "--clip"),
        ("evaluate blobs --likelihood --interval 1,2", "--interval"),
        ("evaluate blobs --likelihood --rescale 0.5", "--rescale"),
        ("evaluate blobs --likelihood --features cnn", "--features"),
        ("evaluate blobs --pairs --features cnn", "--features"),
        ("evaluate blobs --control edges --features cnn", "--features"),
        ("evaluate blobs --quick --features cnn", "--features"),
        ("evaluate blobs --compare ddim:2,ddim:3 --sampler heun", "--sampler"),
        ("evaluate blobs --compare ddim:2,ddim:3 --steps 5", "--steps"),
        ("evaluate blobs --compare ddim:2,ddim:3 --option eta=1", "--option"),
        ("evaluate blobs --sweep 1,2 -g 3", "--guidance"),
        ("evaluate blobs --sweep 1,2 --sweep-steps 2,3 --steps 5", "--steps"),
        ("evaluate blobs --clip-model nosuch", "--clip-model"),
        ("evaluate points --root elsewhere", "--root"),
        ("evaluate points --features cnn", "--features"),
        ("evaluate points --quick", "--quick"),
        ("evaluate between --seed 3", "--seed"),
        ("show reverse blobs --snapshots 3 -o x.gif", "--snapshots"),
        ("show sweep blobs guidance 1,2 -g 3", "--guidance"),
        ("show sweep blobs steps 1,2 --steps 3", "--steps"),
        ("show sweep blobs rescale 0,1 --rescale 1 -g 2", "--rescale"),
        ("show sweep blobs eta 0,1 --option eta=0.5", "--option eta"),
        ("show interpolate blobs --seeds 0,1,2,3 --square --rows 2", "--rows"),
        ("show classes blobs --condition label=1", "--condition label"),
        ("show condition blobs --interval 1,2 -g 1", "--interval"),
        ("show estimate points --index 3", "--index"),
        ("show estimate blobs --control edges:0.5", "--control WEIGHT"),
        ("show schedules flow --seed 0", "--seed"),
        ("show schedules flow --trust", "--trust"),
        ("edit sdedit blobs --image grey.png --root elsewhere", "--root"),
        ("edit sdedit blobs --image grey.png --rescale 1 --label left -g 1", "--rescale"),
    ],
)
def test_it_is_refused_by_its_name(runs, tmp_path, monkeypatch, capsys, words, option):
    err = refusal(runs, tmp_path, monkeypatch, capsys, words)
    assert err.startswith(f"fromnoise: {option} would do nothing: ") and "leave it out" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("sample blobs -n 2 --label 0,1,0", "3 values of label are given, and 2 of them would be drawn"),
        ("sample blobs -n 65 -o x.gif", "at most 64 samples, not 65"),
        ("sample blobs -g 2 --against blobs", "nothing leads away from itself"),
        ("sample blobs --sampler edm --option churn_noise=2", "churn is 0"),
        ("evaluate blobs --quick --likelihood", "quicker with a smaller -n"),
        ("show sweep blobs rescale 0,1 -g 1", "rescale acts on guidance"),
        ("show sweep blobs seed 0,1", "no option 'seed'"),
        ("show condition blobs --rows 1000", "256 rows at most"),
        ("show progress blobs -o x.png", "end --out in .gif"),
        ("show interpolate blobs --option eta=1", "ddim with eta=1 draws noise on its way"),
        ("edit steer blobs -n 1 --label 0,1 --features cnn_quick", "2 values of label are given"),
        ("edit invert blobs --example 0 --seed 3", "no option --seed"),
        ("train digits sample.guidance=1 sample.rescale=0.5", "sample.rescale would do nothing: sample.guidance is 1"),
        ("train moons sample.low=0.5", "sample.low would do nothing"),
        ("train digits train.ema=9 train.optimizer=schedule_free", "train.ema would do nothing: train.optimizer is schedule_free"),
    ],
)
def test_what_cannot_all_be_had_is_refused(runs, tmp_path, monkeypatch, capsys, words, says):
    assert says in refusal(runs, tmp_path, monkeypatch, capsys, words)


def test_options_that_do_something_are_taken(runs, tmp_path, monkeypatch, capsys):
    """Beside those of the tables that they are refused in."""
    monkeypatch.chdir(tmp_path)
    for words in (
        "sample blobs -n 2 --interval 0.2,5 --rescale 0.5 -g 2 --steps 3",
        "sample blobs -n 2 --rescale 0 -g 1 --steps 2",
        "sample between -n 2 --seed 3 --sampler ddpm --steps 2",
        "show interpolate blobs --sampler edm --rows 1 -n 2 --steps 2",
        "evaluate blobs --likelihood -n 2 --steps 2 --seed 1 --batch 1",
    ):
        assert call(monkeypatch, capsys, *[str(runs.get(word, word)) for word in words.split()], "--trust")[0] == 0, words


def test_a_sampler_is_noiseless_where_its_walk_is_the_same_twice():
    levels = Cosine(high=0.99).levels(4)
    for name in SAMPLERS:
        one, two = (walk(name, lambda x, level: (0.5 * x, x), torch.ones(1, 1, 2, 2), levels, randn=noise(seed)) for seed in (0, 1))
        assert torch.equal(one, two) == (name in noiseless()), name
    assert not draws_noise("edm") and draws_noise("edm", {"churn": 40}) and draws_noise("ddim", {"eta": 0.1})


def noise(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, generator=generator)


# Recipes


@pytest.mark.parametrize(
    ("text", "typed", "refused"),
    [
        ("train: {ema: 9, optimizer: schedule_free}", [], "train.ema"),
        ("train: {ema: 9}", ["train.optimizer=schedule_free"], None),  # said when training begins
        ("train: {optimizer: schedule_free}", ["train.ema_warmup=0.1"], "train.ema_warmup"),
        ("train: {}", ["train.ema=9", "train.optimizer=schedule_free"], "train.ema"),
        ("sample: {rescale: 0.5}", [], "sample.rescale"),
        ("sample: {rescale: 0.5, guidance: 2}", [], None),
        ("sample: {rescale: 0.5, guidance: 2}", ["sample.guidance=1"], None),  # a recipe tried without guidance
        ("sample: {rescale: 0.5}", ["sample.guidance=2"], None),
        ("sample: {guidance: 1}", ["sample.high=5"], "sample.high"),
    ],
)
def test_settings_that_would_do_nothing(tmp_path, text, typed, refused):
    (tmp_path / "own.yaml").write_text(text)
    if refused is None:
        load(str(tmp_path / "own.yaml"), typed)
    else:
        with pytest.raises(Usage, match=f"^{refused} would do nothing: .*; leave one of them out$"):
            load(str(tmp_path / "own.yaml"), typed)


def test_a_run_may_hold_such_settings(tmp_path):
    """They were typed over its recipe, or an earlier version allowed them."""
    settings = recipe(train={"steps": 1, "evals": 0, "optimizer": "schedule_free", "ema": 9.0}, sample={"guidance": 1.0, "rescale": 0.5})
    found = Run(train(settings, tmp_path / "run", quiet=True).path).recipe(trust=True)
    assert found.train["ema"] == 9 and found.sample is not None and found.sample["rescale"] == 0.5


def test_an_average_that_has_no_part_is_named():
    """A recipe's, where an optimizer that keeps its own was chosen over it."""
    said = setup(recipe(train={"optimizer": "schedule_free", "ema": 9.0})).chosen
    assert said is not None and "train.ema has no part in this: ScheduleFreeAdamW keeps an average of its own" in said
    assert setup(recipe(train={"optimizer": "schedule_free"})).chosen is None and setup(recipe(train={"ema": 9.0})).chosen is None


def test_the_recipes_that_come_along_hold_no_such_setting():
    assert all(load(name) for name in recipes()) and len(IDLE) > 1
