"""Text as a medium: lines are looked at as tiles, written and printed as lines, read in a run's report, and measured as words."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fromnoise.cli.main import app
from fromnoise.config import Recipe
from fromnoise.data.dataset import scaled
from fromnoise.data.files.lines import decoded, encoded
from fromnoise.figures import medium_of, reconstructions, save, tiles
from fromnoise.training import train

TEXT = Recipe(medium="text")


def examples(*texts, length=48):
    return scaled(encoded(texts, length))


def test_tiles_are_of_one_size_and_as_full_as_their_lines_are_long():
    shown = tiles(examples("", "a", "a line of many words that is wrapped", "…" * 16), None, "text")
    ink = [int((np.asarray(tile.convert("L")) < 128).sum()) for tile in shown]
    assert len({tile.size for tile in shown}) == 1 and ink[0] == 0 < ink[1] < ink[2]
    assert tiles(examples("a"), 2, "text")[0].width == 2 * shown[0].width
    noise = tiles(2 * torch.rand(3, 1, 600) - 1, None, "text")  # of any bytes
    assert len({tile.size for tile in noise}) == 1


def test_lines_are_written_one_each_and_read_on_a_page(tmp_path):
    x, medium = examples("one <b>", "zwei Bären", ""), medium_of((1, 48), "text")
    assert save(x, tmp_path / "a.txt", recipe=TEXT).read_bytes() == "one <b>\nzwei Bären\n\n".encode()
    assert "<pre>one &lt;b&gt;\nzwei Bären\n\n</pre>" in medium.player(tmp_path / "a.txt")
    save(x, tmp_path / "all", recipe=TEXT)
    assert [file.name for file in sorted((tmp_path / "all").iterdir())] == [f"{i:06d}.txt" for i in range(3)]
    assert medium.printed(x, TEXT) == ["one <b>", "zwei Bären", ""]


def test_reconstructions_say_the_share_that_came_back():
    x, x_hat = examples("abcd", length=4), examples("abxd", length=4)
    assert medium_of((1, 4), "text").likeness(x, x_hat) == ["75%"]
    assert isinstance(reconstructions(x, x_hat, 1, "text"), Image.Image)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    colours, animals = ["red", "green", "blue", "grey", "pink"], ["fox", "cat", "dog", "owl", "hen", "ant", "cow", "bee"]
    (folder / "lines.txt").write_text("\n".join(f"a {colour} {animal}" for colour in colours for animal in animals))
    recipe = {"data": {"name": "lines", "path": str(folder / "lines.txt"), "length": 12, "held_out": 0.2}, "autoencoder": "bits",
              "network": {"name": "dit", "width": 16, "depth": 1, "heads": 2, "patch": 2}, "predict": "x0", "self_condition": True,
              "train": {"steps": 4, "batch": 8, "evals": 1}, "sample": {"name": "ddpm", "steps": 3}, "evaluate": {"n": 8}}  # fmt: skip
    return train(recipe, folder / "run", quiet=True).path


def said(*words):
    found = CliRunner().invoke(app, [*map(str, words)])
    assert found.exit_code == 0, found.output
    return found.output


def test_a_run_of_text_prints_writes_and_keeps_lines(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = said("sample", run, "-n", "3").splitlines()
    assert printed[-1].startswith("samples.png: 3 samples")
    said("sample", run, "-n", "3", "--out", tmp_path / "lines.txt")
    said("sample", run, "-n", "3", "--out", tmp_path / "lines.npz")
    assert (tmp_path / "lines.txt").read_text().split("\n")[:-1] == printed[-4:-1]
    assert decoded(torch.from_numpy(np.load(tmp_path / "lines.npz")["arr_0"])) == printed[-4:-1]
    kept = (run / "samples" / "final.txt").read_text().splitlines()
    assert kept and "<pre>" in (run / "report.html").read_text() and (run / "samples" / "reverse.gif").is_file()


def test_evaluate_prints_and_keeps_the_card_of_words(run):
    output = said("evaluate", run)
    assert "real words" in output and "now holds these figures" in output
    card = json.loads((run / "evaluation.json").read_text())
    assert card["features"] == "words" and card["n"] == 8 and card["rows"][0]["metric"] == "real words" and card["rows"][0]["floor"] == 1
    assert "real words" in (run / "report.html").read_text()
    refused = CliRunner().invoke(app, ["evaluate", str(run), "--features", "cnn"])
    assert refused.exit_code and "through no network" in str(refused.output) + str(refused.exception)
