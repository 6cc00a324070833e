"""A run on a folder of one's own: what it says of it when it begins, and where the folder may go."""

import io
import json
import math
import os

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise import progress
from fromnoise.conditions import Label
from fromnoise.errors import Problem
from fromnoise.runs import Run, log
from fromnoise.training import denoising, monitor
from fromnoise.training.loop import train


def pictures(home, count=6):
    for i in range(count):
        for name in (b"cat [old]", b"caf\xe9 :smile:"):
            os.makedirs(os.path.join(home, name), exist_ok=True)
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)).save(os.fsdecode(os.path.join(home, name, b"%d.png" % i)))


def recipe(path, steps=2, **data):
    settings = {"steps": steps, "batch": 4, "evals": 1, "held_out": 2, "warmup": 4}
    return {"data": {"name": "folder", "path": str(path), "held_out": 0.2, **data}, "network": {"name": "conv", "width": 8},
            "conditions": ["label"], "train": settings, "sample": {"steps": 1}}  # fmt: skip


def test_a_run_names_what_it_leaves_out_and_may_go_on_where_the_folder_moved(tmp_path, monkeypatch):
    pictures(os.fsencode(tmp_path / "old"))
    (tmp_path / "old/photo [x].HEIC").write_bytes(b"0")
    shown = io.StringIO()
    monkeypatch.setattr(monitor, "console", lambda **how: progress.console(file=shown, width=200))
    run = train(recipe(tmp_path / "old"), tmp_path / "runs/a[/x] :cat:")
    assert "left out: 1 files that are not read as pictures (1 .heic)" in shown.getvalue()
    assert f"{tmp_path}/runs/a[/x] :cat:: " in shown.getvalue() and "report.html" in shown.getvalue()
    assert Run(run.path).recipe().classes == (r"caf\udce9 :smile:", "cat [old]")
    (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(Problem, match="old: no such folder; set data.path"):
        train(recipe(tmp_path / "old", 4), run.path, quiet=True)
    with pytest.raises(Problem, match="other settings .data.fit"):
        train(recipe(tmp_path / "new", 4, fit="pad"), run.path, quiet=True)
    train(recipe(tmp_path / "new", 4), run.path, quiet=True)
    assert run.load_checkpoint()["state"]["step"] == 4


def test_what_is_left_out_of_either_split_is_said_even_by_a_quiet_run(tmp_path, capfd):
    pictures(os.fsencode(tmp_path / "set/train")), pictures(os.fsencode(tmp_path / "set/test"))
    for name in ("set/a.HEIC", "set/test/cat [old]/b.tif", "set/train/cat [old]/c.tif"):
        (tmp_path / name).write_bytes(b"0")
    whole = (tmp_path / "set/train/cat [old]/0.png").read_bytes()
    (tmp_path / "set/train/cat [old]/d.png").write_bytes(whole[:100])  # which is seen where it is decoded
    train(recipe(tmp_path / "set", skip_broken=True), tmp_path / "run", quiet=True)
    said = capfd.readouterr()
    assert not said.out and said.err.splitlines() == [
        "left out: 1 files that are not read as pictures (1 .heic)",
        "left out: 1 pictures are broken and skipped (cat [old]/c.tif: it is no picture)",
        "left out: 1 pictures are broken and skipped (cat [old]/d.png: it is cut short or damaged)",
        "left out: test: 1 pictures are broken and skipped (cat [old]/b.tif: it is no picture)",
    ]


LAYOUTS = {  # what each picture's class is called, in the order of their numbers: by folders, or rows of metadata with gaps in their numbers
    "folders": ("1", "2", "7", "10"), "words": ("a 2", "a 10", "b"), "rows": (3, 5, 30),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("memory", [True, False])
def test_the_condition_is_told_in_training_the_class_of_each_picture(tmp_path, monkeypatch, layout, memory):
    """Each picture is of one grey, which says its class; what the condition is given is compared with the grey that the loss is taken of."""
    classes, rows = LAYOUTS[layout], []
    for number, name in enumerate(classes):
        home = tmp_path / "set" / (f"{name}" if layout != "rows" else "all")
        home.mkdir(parents=True, exist_ok=True)
        for i in range(2 + number):
            Image.new("L", (8, 8), 50 * number).save(home / f"{9 * i % 7} {name}.png")
            rows.append({"file_name": f"all/{9 * i % 7} {name}.png", "label": name})
    if layout == "rows":
        (tmp_path / "set/metadata.jsonl").write_text("\n".join(map(json.dumps, rows[::-1])))
    told, seen, forward, measured = [], [], Label.forward, denoising.measured

    def watched(model, settings, batch, *rest):
        told.clear()
        value = measured(model, settings, batch, *rest)
        seen.append((told[0], ((batch["x"].mean((1, 2, 3)) + 1) * 127.5 / 50).round().int().tolist()))
        return value

    monkeypatch.setattr(Label, "forward", lambda self, value: told.append(value.tolist()) or forward(self, value))
    monkeypatch.setattr(denoising, "measured", watched)
    mine = recipe(tmp_path / "set", steps=9, held_out=0, memory=memory) | {"conditions": [{"name": "label", "drop": 0}]}
    run = train(mine | {"train": mine["train"] | {"evals": 0}}, tmp_path / "run", quiet=True)
    assert run.recipe().classes == tuple(map(str, classes)) and len(seen) == 9
    assert all(labels == greys for labels, greys in seen) and {grey for _, greys in seen for grey in greys} == set(range(len(classes)))


def test_a_preview_that_is_not_finite_ends_no_run(tmp_path, monkeypatch):
    pictures(os.fsencode(tmp_path / "old"))
    run = train(recipe(tmp_path / "old") | {"sample": "tests.training.test_folders:astray"}, tmp_path / "run", quiet=True)
    said = [entry["why"] for entry in run.entries() if entry.get("event") == "not drawn"]
    assert said and all("20 steps of tests.training.test_folders:astray; they do not converge" in why for why in said) and (run.path / "model.safetensors").is_file()


def astray(denoise, x, levels):
    """A sampler that finds nothing."""
    yield torch.full_like(x, torch.inf), x


def test_numbers_that_are_not_finite_are_null_which_every_reader_of_json_takes(tmp_path):
    run = Run(tmp_path)
    run.log(step=1, held_out=math.nan, held_out_by_level={"0.5": math.inf, "0.9": 1.0}, loss=2.0)

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    entry = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=refuse)
    assert entry == {"step": 1, "held_out": None, "held_out_by_level": {"0.5": None, "0.9": 1.0}, "loss": 2.0}
    assert [e["loss"] for e in log.read(tmp_path).training] == [2.0] and not log.read(tmp_path).held_out
