"""Options as dataclasses: what a command takes, and the values that its words become."""

import inspect
import os
import re
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from fromnoise.cli.command import app as fromnoise
from fromnoise.cli.command import command, flag, names
from fromnoise.cli.options import ConditionOptions, RunOptions, SamplingOptions, StartOptions
from fromnoise.cli.runs import REGISTRIES, SETTINGS, lines, list_, named, parts, settings_of
from fromnoise.config import Recipe
from fromnoise.errors import Usage
from fromnoise.networks import PRESETS
from fromnoise.samplers import SAMPLERS
from tests.parts import built


@dataclass(frozen=True, kw_only=True)
class Few:
    panel: ClassVar[str] = "Few"
    size: int = flag("How large.", "-s", default=3)
    long_name: str | None = flag("A name.")


@dataclass(frozen=True, kw_only=True)
class Both:
    few: Few
    on: bool = flag("A switch.", default=False)
    panel: ClassVar[str] = "Both"


def called(*words: str, **how) -> tuple[int, Both | str]:
    """(n, the options) that a command of `Both`, and a number of its own, is called with; or what it says."""
    app, seen = typer.Typer(), []

    @command(app, "run", **how)
    def run(both: Both, n: Annotated[int, typer.Option("-n")] = 1) -> None:
        """Nothing."""
        seen.append((n, both))

    found = CliRunner().invoke(app, list(words))
    return seen[0] if seen else (found.exit_code, found.output)


def test_fields_are_options_and_words_become_the_dataclass():
    assert called() == (1, Both(few=Few(size=3, long_name=None), on=False))
    assert called("-n", "4", "-s", "7", "--long-name", "a b", "--on") == (4, Both(few=Few(size=7, long_name="a b"), on=True))
    assert called("--size", "7") == (1, Both(few=Few(size=7)))


def test_a_command_may_have_other_defaults_and_leave_options_out():
    assert called(size=9, long_name="x") == (1, Both(few=Few(size=9, long_name="x")))
    code, said = called("--long-name", "x", without=("long_name",))
    assert code == 2 and "No such option" in said
    assert called(without=("long_name",)) == (1, Both(few=Few()))


def test_an_option_of_the_commands_own_takes_the_place_of_a_shared_one_of_that_name():
    app, seen = typer.Typer(), []

    @command(app, "run")
    def run(few: Few, size: Annotated[str, typer.Option("--size")] = "5,10") -> None:
        seen.append((size, few))

    assert CliRunner().invoke(app, ["--size", "1,2"]).exit_code == 0 and seen == [("1,2", Few(size=3))]


def test_names_are_read_from_the_source_as_they_are():
    assert names("samplers.SAMPLERS").split(", ") == list(SAMPLERS)
    assert names("model.sampling.CLIPS") == "none, static, dynamic"
    with pytest.raises(LookupError):
        names("samplers.SAMPLER")


def test_every_part_can_be_listed():
    assert all(lines(part) for part in REGISTRIES)
    assert lines("presets").keys() == PRESETS.keys() and "patch" in lines("presets")["dit_s2"]
    assert lines("schedules")["flow"].startswith("The straight line")


def test_every_name_that_the_library_looks_up_can_be_listed():
    """All tables that are handed to lookup, build or make, wherever in the source, are of `fromnoise list`."""
    text = "".join(file.read_text() for file in Path(inspect.getfile(Recipe)).parents[1].rglob("*.py"))
    used = {name for names in re.findall(r"\b(?:lookup|make|build)\(([A-Z_]+(?: \| [A-Z_]+)*),", text) for name in names.split(" | ")}
    assert len(used) > 20 and used <= {place.partition(":")[2] for place in REGISTRIES.values()}


@pytest.mark.parametrize(
    ("part", "rows"),
    [
        ("unet", ["width  64; a whole number; channels of the first level", "place  cross; cross or token; where attention meets", "levels  [1, 2, 2]"]),
        ("train", ["batch  128; a whole number from 1 to 1,000,000; examples a step", "optimizer  adamw", "compile  null; true or false or null"]),
        ("train", ["a tenth of the run's where this is longer", "on how many of them, at most: fewer, but 16"]),
        ("dpmpp_2m", ["samplers: dpmpp_2m: DPM-Solver++(2M)", "eta  0.0; a finite number"]),
        ("cosine", ["schedules: cosine", "tables: cosine", "rates: cosine", "high  1.0"]),
        ("folder", ["path  needed; a word", "held_out  0.05; a finite number; share of the pictures"]),
        ("digits", ["recipes: digits", "data:  {name: digits}", "data: digits: scikit-learn's"]),
        ("dit_s2", ["presets: dit_s2: dit, depth 12, width 384"]),
        ("sampler", ["dpmpp_2m  DPM-Solver++"]),
        ("evaluate", ["n  10000; a whole number from 2 to 1,000,000"]),
        ("table", ["tables", "scaled_linear  ", "schedules: table", "steps  1000", "falling indices; `offset` is added to each"]),
    ],
)
def test_a_parts_settings_are_listed(part, rows, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    said = CliRunner().invoke(fromnoise, ["list", part])
    lines = re.sub(r" {2,}", "  ", said.output)
    assert said.exit_code == 0 and all(row in lines for row in rows), lines
    assert part != "unet" or "  axes  " not in lines  # which the data says


@pytest.mark.parametrize("group", ["settings", *REGISTRIES])
def test_every_setting_of_every_part_has_words_and_a_readable_default(group):
    for name in SETTINGS if group == "settings" else named(group):
        for title, thing in parts(name):
            rows = {} if isinstance(thing, (Path, dict)) else settings_of(title.partition(":")[0], thing)
            for key, row in rows.items():
                usual, _, *words = row.split("; ")
                assert words and len(words[-1]) > 3, f"{title}: {key} is {row}: say what it does in the docstring, or in config/shared.py"
                assert not re.search(r"\(|<|Any$", usual), f"{title}: {key} is {row}"


@pytest.mark.parametrize(("terminal", "height", "through"), [(True, 20, True), (True, 500, False), (False, 20, False)])
def test_a_list_longer_than_the_terminal_goes_through_a_pager(terminal, height, through, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("fromnoise.cli.command.pager", shown.append)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", str(height))
    list_("train")
    printed = capsys.readouterr().out
    assert len(shown) == through and ("keep_best" in printed) != through
    assert "keep_best" in (shown[0] if through else printed) and "\x1b" not in "".join(shown)


def test_optimizers_have_settings_beside_those_of_train():
    said = CliRunner().invoke(fromnoise, ["list", "adamw"]).output
    assert "AdamW" in said and "eps  " in said and "partial(" not in said and "amsgrad" not in said and "betas  " not in said


MODEL = {
    "network": {"name": "conv", "width": 8},
    "conditions": ["label", "text"],
    "noise": "flow",
    "sample": {"name": "ddim", "options": {"eta": 0.5}},
}


class Drawn(RunOptions):
    """A run whose model is here."""

    model = built(MODEL, (1, 8, 8), ("left", "right"))


RUN = Drawn(run=Path("nowhere"))


def conditions(n: int | None = None, **words):
    return ConditionOptions(**words).conditions(RUN, n)[0]


def test_conditions_by_their_short_forms_and_by_name_are_the_same():
    assert conditions(label="1") == conditions(condition=["label=right"]) == {"label": 1}
    assert conditions(label="none", text=["none"]) == {"label": None, "text": None}
    assert conditions(3, label="right,left") == conditions(3, condition=["label=right", "label=left"]) == {"label": [1, 0, 1]}
    assert conditions(2, text=["a, b", "c"]) == {"text": ["a, b", "c"]}, "a caption may hold commas"
    assert conditions() == {}
    assert ConditionOptions(negative="dark").conditions(RUN, 1)[1]["negative"] == {"text": "dark"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"label": "0,1"}, "this takes one"),
        ({"condition": ["angle"]}, "--condition is key=value"),
        ({"condition": ["angle=3"]}, "no condition 'angle'"),
        ({"condition": ["label=0"], "label": "none"}, "'none' among them"),
    ],
)
def test_wrong_conditions(words, says):
    with pytest.raises(Usage, match=says):
        conditions(**words)


def test_sampling_is_the_models_own_but_for_what_is_given():
    own = SamplingOptions().sampling(RUN)
    assert own.record() == Drawn.model.sampling.record()
    said = SamplingOptions(steps=7, guidance=2.0, interval="0.5,4", clip="static", seed=3, rescale=0.5).sampling(RUN, strength=0.25)
    assert (said.sampler, said.options, said.steps, said.guidance, said.low, said.high) == ("ddim", {"eta": 0.5}, 7, 2.0, 0.5, 4.0)
    assert (said.clip, said.seed, said.rescale, said.strength) == ("static", 3, 0.5, 0.25)
    other = SamplingOptions(sampler="dpmpp_2m").sampling(RUN)
    assert other.sampler == "dpmpp_2m" and other.options == {}, "another sampler has its own options"
    assert SamplingOptions(option=["eta=1"]).sampling(RUN).options == {"eta": 1.0}
    for words in ({"interval": "1"}, {"interval": "a,b"}, {"option": ["eta"]}, {"option": ["eta=x"]}, {"sampler": "dimm"}):
        with pytest.raises(Usage):
            SamplingOptions(**words).sampling(RUN)


def test_samples_of_a_model_from_data_to_data_start_from_the_pictures_that_are_named(tmp_path):
    class Between(RunOptions):
        model = built(MODEL | {"source": "paired"}, (1, 8, 8), ("left", "right"))
        recipe = Recipe.of(MODEL).with_defaults()

    for name, value in {"a": 255, "b": 0}.items():
        Image.new("L", (20, 10), value).save(tmp_path / f"{name}.png")
    StartOptions(source=tmp_path).sampling(Between(run=tmp_path), 3)
    start = Between.model.start(3)
    assert (start[0] == start[2]).all() and torch.equal(start[0], -start[1]) and start[0].unique().numel() == 1
    with pytest.raises(Usage, match="starts from noise"):
        StartOptions(source=tmp_path).sampling(RUN, 3)


def test_no_command_takes_more_than_eight_values():
    from fromnoise.cli import data, edit, evaluate, runs, sample, show, train

    for module in (train, sample, evaluate, runs, data, show, edit):
        for thing in vars(module).values():
            if inspect.isfunction(thing) and thing.__module__ == module.__name__:
                assert len(inspect.signature(thing).parameters) <= 8, thing


def test_every_option_is_explained():
    for kind in (RunOptions, SamplingOptions, ConditionOptions, StartOptions):
        for part in fields(kind):
            assert "option" in part.metadata or hasattr(part.type, "__metadata__"), part.name


def test_parts_of_ones_own_are_found_where_the_command_is_run(tmp_path, monkeypatch):
    (tmp_path / "mine_here.py").write_text("def data(split='train'):\n    from tests.parts import blobs\n    return blobs()\n")
    (tmp_path / "torch.py").write_text("raise SystemExit('hidden')")
    (tmp_path / "mine.yaml").write_text("data: {name: 'mine_here:data'}\n")
    code = "import sys; sys.path[:] = [p for p in sys.path if p]; from fromnoise.cli.main import main; main()"
    words = [sys.executable, "-c", code, "show", "forward", "mine.yaml", "--noise", "flow"]
    found = subprocess.run(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.getcwd()}, capture_output=True, text=True)
    assert found.returncode == 0 and (tmp_path / "forward.png").is_file(), found.stderr
