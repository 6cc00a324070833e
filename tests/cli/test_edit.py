"""`fromnoise edit …` and what `show` and `evaluate` say of guidance: what they write, and what they say to wrong input."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fromnoise.training.loop import train
from tests.cli.test_cli import call
from tests.training.test_train import recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "blobs"
    train(recipe(train={"steps": 30, "keep": 10}), folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def left(tmp_path_factory) -> Path:
    """A picture larger than the model's, bright at the left."""
    pixels = np.zeros((24, 24), np.uint8)
    pixels[:, :12] = 220
    path = tmp_path_factory.mktemp("pictures") / "left.png"
    Image.fromarray(pixels).save(path)
    return path


def edit(monkeypatch, capsys, *words):
    return call(monkeypatch, capsys, "edit", *words, "--trust")


def array(path: Path) -> np.ndarray:
    return np.load(path)["arr_0"].astype(int)[..., 0]


def test_sdedit(run, left, tmp_path, monkeypatch, capsys):
    words = ("sdedit", run, "--image", left, "--strength", 0.02, "--steps", 50, "-n", 2)
    assert edit(monkeypatch, capsys, *words, "-o", tmp_path / "s.npz")[0] == 0
    found = array(tmp_path / "s.npz")
    assert found.shape == (2, 8, 8) and found[:, :, :3].mean() > found[:, :, 5:].mean() + 100
    assert edit(monkeypatch, capsys, *words, "--label", "left", "-g", 2, "-o", tmp_path / "s.png")[0] == 0


@pytest.mark.parametrize("way", ["box", "file"])
def test_inpaint_keeps_the_rest_of_the_file(run, left, tmp_path, monkeypatch, capsys, way):
    mask = np.zeros((24, 24), np.uint8)
    mask[12:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    said = "0,4,8,4" if way == "box" else tmp_path / "mask.png"
    words = ("inpaint", run, "--image", left, "--mask", said, "--steps", 4, "--option", "jumps=2", "--option", "length=2", "-n", 3)
    assert edit(monkeypatch, capsys, *words, "-o", f"{tmp_path}/many/")[0] == 0
    made = [np.asarray(Image.open(path)).astype(int) for path in sorted((tmp_path / "many").glob("*.png"))]
    whole = np.asarray(Image.open(left).resize((8, 8), Image.Resampling.LANCZOS)).astype(int)
    assert len(made) == 3 and all(np.array_equal(picture[:4], whole[:4]) for picture in made)
    assert not np.array_equal(made[0][4:], made[1][4:])
    assert edit(monkeypatch, capsys, *words, "--sampler", "repaint", "-o", tmp_path / "i.png")[0] == 0
    with Image.open(tmp_path / "i.png") as picture:
        assert picture.width > 5 * 64, "the picture, what is kept, and three results"


def test_invert_says_how_well_it_comes_back(run, left, tmp_path, monkeypatch, capsys):
    words = ("invert", run, "--image", left, "--example", 1, "--steps", 40)
    for label in ([], ["--label", "left"]):
        code, said, _ = edit(monkeypatch, capsys, *words, *label, "-o", tmp_path / "i.png")
        found = [float(number) for number in re.findall(r"([\d.]+) dB", said)]
        assert code == 0 and len(found) == 2 and min(found) > 20 and (tmp_path / "i.png").is_file()


@pytest.mark.parametrize("out", ["row.png", "walk.gif"])
def test_interpolate_between_pictures_and_seeds(run, left, tmp_path, monkeypatch, capsys, out):
    pictures = ("--image", left, "--example", 1)
    for ends in (pictures, ("--seeds", "3,4")):
        assert edit(monkeypatch, capsys, "interpolate", run, *ends, "-n", 4, "--steps", 3, "-o", tmp_path / out)[0] == 0
        with Image.open(tmp_path / out) as made:
            assert made.n_frames == 4 if out.endswith("gif") else made.width > 4 * 64


def test_interpolate_over_a_square(run, tmp_path, monkeypatch, capsys):
    words = ("interpolate", run, "--seeds", "0,1,2,3", "--square", "-n", 3, "--steps", 3, "-o", tmp_path / "s.png")
    for group in ("edit", "show"):
        assert call(monkeypatch, capsys, group, *words, "--trust")[0] == 0
        with Image.open(tmp_path / "s.png") as made:
            assert made.height > made.width > 3 * 64, "the seeds are named below"
        (tmp_path / "s.png").unlink()


def test_vary(run, left, tmp_path, monkeypatch, capsys):
    words = ("vary", run, "--image", left, "-n", 9, "--steps", 10)
    for strength in (0.05, 0.9):
        assert edit(monkeypatch, capsys, *words, "--strength", strength, "-o", tmp_path / f"{strength}.npz")[0] == 0
    small, large = (array(tmp_path / f"{strength}.npz").std(0).mean() for strength in (0.05, 0.9))
    assert small < large
    assert edit(monkeypatch, capsys, *words, "-o", tmp_path / "v.png")[0] == 0


def test_extend_goes_on_from_the_first_rows_of_an_example_or_from_a_sample(run, tmp_path, monkeypatch, capsys):
    """Any axis but that of channels, such as a picture's rows; the bright half of `blobs` is at the left or at the right all the way."""
    words = ("extend", run, "--example", 0, "--given", 3, "--frames", 21, "--label", "left", "-n", 2, "--steps", 8)
    assert edit(monkeypatch, capsys, *words, "-o", tmp_path / "x.npz")[0] == 0
    found = array(tmp_path / "x.npz")
    assert found.shape == (2, 21, 8) and (found[:, :3, :4] == 220).all() and (found[:, :3, 4:] == 0).all()
    assert edit(monkeypatch, capsys, "extend", run, "-n", 2, "--steps", 4, "-o", tmp_path / "y.npz")[0] == 0
    assert array(tmp_path / "y.npz").shape == (2, 16, 8)


def test_steer_by_the_judge(run, tmp_path, monkeypatch, capsys):
    words = ("steer", run, "--label", "left,1", "-n", 3, "--steps", 3, "--features", "cnn_quick", "-o", tmp_path / "s.npz")
    assert edit(monkeypatch, capsys, *words)[0] == 0
    assert np.load(tmp_path / "s.npz")["arr_1"].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sdedit"], "name one picture: --image FILE, or --example NUMBER"),
        (["sdedit", "--example", 0, "--example", 1], "not 2 of them"),
        (["sdedit", "--example", 256], "no held-out example 256: blobs has 0 to 255"),
        (["sdedit", "--image", "nowhere.png"], "there is no picture nowhere.png"),
        (["sdedit", "--example", 0, "--strength", 0], "0 < strength <= 1"),
        (["sdedit", "--example", 0, "-n", 0], "greater than or equal to 1"),
        (["sdedit", "--example", 0, "-o", "s.pt"], "end it in .png"),
        (["inpaint", "--example", 0], "--mask"),
        (["inpaint", "--example", 0, "--mask", "0,0,9,4"], "within the model's 8 x 8 pixels"),
        (["inpaint", "--example", 0, "--mask", "0,0,0,4"], "a box is X,Y,WIDTH,HEIGHT"),
        (["inpaint", "--example", 0, "--mask", "1,2,3"], "a box is X,Y,WIDTH,HEIGHT"),
        (["inpaint", "--example", 0, "--mask", "nowhere.png"], "there is no picture nowhere.png"),
        (["inpaint", "--example", 0, "--mask", "0,0,4,4", "--option", "jumps=0"], "whole numbers from 1"),
        (["inpaint", "--example", 0, "--mask", "0,0,4,4", "--sampler", "repant"], "did you mean 'repaint'"),
        (["invert"], "name a picture"),
        (["invert", "--example", -1], "no held-out example -1"),
        (["invert", "--example", 0, "--steps", 1], "at least 2 steps"),
        (["invert", "--example", 0, "--iterations", 0], "greater than or equal to 1"),
        (["invert", "--example", 0, "--label", "0,1"], "this takes one"),
        (["invert", "--example", 0, "-o", "many/"], "end it in .png"),
        (["interpolate", "--example", 0], "at least two pictures"),
        (["interpolate", "--example", 0, "--seeds", "0,1"], "leave one of them out"),
        (["interpolate", "--seeds", "0,x"], "whole numbers with commas"),
        (["interpolate", "--seeds", "0"], "at least 2 ends, not 1"),
        (["interpolate", "--seeds", "0,1", "--square"], "4 corners, not 2"),
        (["interpolate", "--seeds", "0,1,2,3", "--square", "-o", "s.gif"], "end --out in .png"),
        (["interpolate", "--seeds", "0,1", "-n", 1], "greater than or equal to 2"),
        (["interpolate", "--seeds", "0,1", "--way", "serp"], "did you mean 'slerp'"),
        (["vary", "--example", 0, "--strength", 2], "0 <= strength <= 1"),
        (["sdedit", "--example", 0, "-g", 3], "give one by --label or --text"),
        (["invert", "--example", 0, "-g", 3], "give one by --label or --text"),
        (["extend", "--given", 3], "--given would do nothing"),
        (["extend", "--example", 0, "--given", 9], "--given is 1 to 8 of the clip's 8 frames, fewer than --frames (13), not 9"),
        (["extend", "--example", 0, "--frames", 4], "fewer than --frames (4), not 4"),
        (["extend", "--example", 0, "--clip", "x.gif"], "name one clip to go on from"),
        (["extend", "--clip", "x.gif"], "no clips; name a held-out example"),
        (["extend", "--overlap", 8], "1 to 7 of this model's 8, not 8"),
        (["extend", "-o", "x.pt"], "end it in .png"),
        (["steer", "--label", "lef"], "did you mean 'left'"),
        (["steer", "--label", 2], "the classes 0 to 1"),
        (["steer", "--label", 0, "-n", 0], "greater than or equal to 1"),
        (["steer", "--label", 0, "--scale", "nan", "--features", "cnn_quick"], "finite"),
    ],
)
def test_wrong_editing_is_one_line(run, tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    verb, *rest = words
    code, _, err = edit(monkeypatch, capsys, verb, run, *rest)
    assert code == 2 and says in err and err.strip().count("\n") == 0 and "Traceback" not in err
    assert not any(tmp_path.iterdir())


def test_words_ask_too(run, tmp_path, monkeypatch, capsys):
    told = tmp_path / "told"
    config = {
        "data": {"name": "shapes_text", "count": 32, "size": 24},
        "network": {"name": "unet", "width": 8, "levels": [1, 1], "blocks": 1, "patch": 4, "compat": {"groups": 4}},
        "conditions": [{"name": "text", "width": 16}],
        "train": {"steps": 2, "batch": 8, "evals": 0, "lr": 0.05},
        "sample": {"name": "ddim", "steps": 3},
    }
    train(config, told, quiet=True)
    words = ["a large red circle", "a small blue square"]
    for verb in (["edit", "sdedit"], ["edit", "vary"], ["show", "interpolate"]):
        verb, source = [*verb[:2], told, *verb[2:]], ["--example", 0, "-n", 2] if verb[0] == "edit" else ["--rows", 1]
        drawn = []
        for text in words:
            out = tmp_path / "t.png"
            assert call(monkeypatch, capsys, *verb, *source, "--text", text, "--steps", 3, "-o", out)[0] == 0
            drawn.append(out.read_bytes())
        assert drawn[0] != drawn[1], verb
    several = [part for text in words for part in ("-t", text)]
    assert call(monkeypatch, capsys, "edit", "sdedit", told, "--example", 0, *several, "-n", 2, "-o", tmp_path / "s.npz")[0] == 0
    code, _, err = call(monkeypatch, capsys, "edit", "invert", run, "--example", 0, "-t", "a", "--trust", "-o", tmp_path / "wrong.png")
    assert code == 2 and "trained without captions" in err and not (tmp_path / "wrong.png").exists()


def test_a_dark_mask_is_one_line(run, tmp_path, monkeypatch, capsys):
    Image.new("L", (8, 8)).save(tmp_path / "dark.png")
    code, _, err = edit(monkeypatch, capsys, "inpaint", run, "--example", 0, "--mask", tmp_path / "dark.png", "-o", tmp_path / "s.png")
    assert code == 2 and "dark everywhere" in err and err.strip().count("\n") == 0


def test_show_interpolate_and_guidance(run, tmp_path, monkeypatch, capsys):
    for words in (["interpolate", "--rows", 2, "-n", 3, "--label", "left,right"], ["guidance", "--scales", "1,3", "--steps", "2,3,4"]):
        out = tmp_path / f"{words[0]}.png"
        assert call(monkeypatch, capsys, "show", words[0], run, *words[1:], "-o", out, "--trust")[0] == 0 and out.is_file()
    for words, says in (
        (["interpolate", "--rows", 0], "greater than or equal to 1"),
        (["interpolate", "--seeds", f"0,{10**20}"], "a seed is a whole number from"),
        (["guidance", "--steps", "0,3"], "whole numbers from 1"),
        (["guidance", "--scales", "1"], "at least two guidance scales"),
        (["guidance", "--against", tmp_path / "nowhere"], "no run folder"),
    ):
        code, _, err = call(monkeypatch, capsys, "show", words[0], run, *words[1:], "-o", tmp_path / "wrong.png", "--trust")
        assert code == 2 and says in err and err.strip().count("\n") == 0 and not (tmp_path / "wrong.png").exists()


def test_autoguidance_by_earlier_weights(run, tmp_path, monkeypatch, capsys):
    earlier = sorted((run / "weights").glob("step_*.safetensors"))[0]
    drawn = {}
    ways = {"file": ["--against", earlier, "-g", 3], "name": ["--against", earlier.with_suffix(""), "-g", 3], "unguided": ["-g", 1]}
    for name, words in ways.items():
        words = ("sample", run, "-n", 4, *words, "--trust", "-o", tmp_path / f"{name}.npz")
        assert call(monkeypatch, capsys, *words)[0] == 0
        drawn[name] = array(tmp_path / f"{name}.npz")
    assert np.array_equal(drawn["file"], drawn["name"]) and not np.array_equal(drawn["file"], drawn["unguided"])
    words = ("sample", run, "--against", run / "weights" / "step_9", "--trust", "-o", tmp_path / "s.png")
    code, _, err = call(monkeypatch, capsys, *words)
    assert code == 2 and "holds no weights 'step_9'" in err
    code, _, err = call(monkeypatch, capsys, "sample", run, "-g", 1, "--against", earlier, "--trust", "-o", tmp_path / "s.png")
    assert code == 2 and "at 1 there is none" in err


def test_a_sweep_compares_ways_to_guide(run, tmp_path, monkeypatch, capsys):
    words = ("evaluate", run, "-n", 20, "--quick", "--sweep", "1,2", "--sweep-steps", "2,3", "--interval", "0.2,5", "--trust")
    words += ("--against", sorted((run / "weights").glob("step_*.safetensors"))[0])
    assert call(monkeypatch, capsys, *words)[0] == 0
    rows = json.loads((run / "quick_guidance.json").read_text())["rows"]
    assert [row["way"] for row in rows[::4]] == ["CFG, 2 steps", "CFG from 0.2 to 5, 2 steps", "autoguidance, 2 steps"] and len(rows) == 12
    assert (run / "quick_guidance.png").is_file()
