"""Inspection finds what was put there, and the recipe that it proposes loads."""

import io
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml
from PIL import Image

from fromnoise.conditions import Example
from fromnoise.config import Recipe
from fromnoise.data import DATASETS
from fromnoise.data.inspect import meshes, sounds, texts
from fromnoise.data.inspect.inspect import Inspection, inspect
from fromnoise.data.inspect.propose import proposals
from fromnoise.data.inspect.propose import propose as proposed
from fromnoise.data.inspect.report import report
from fromnoise.errors import Problem
from fromnoise.model import build, build_autoencoder
from fromnoise.progress import console
from fromnoise.training import speed, train
from tests.data.test_sounds import sine
from tests.data.test_sounds import write as write_wave


def machine(flops):
    """The speed of a machine: the multiplications of a network's convolutions are the squares of its width and of its grid's side, about."""

    def speed(recipe, shape, classes):
        network = recipe["network"]
        return flops / (network["width"] * max(shape[1:]) / network["patch"]) ** 2

    return speed


SLOW, LAPTOP, GPU = machine(1e6), machine(60e6), machine(1e11)  # on 16 x 16 pixels, 32 wide: 4, 230 and 380,000 images a second


def propose(found, minutes=10.0, speed=LAPTOP):
    return proposed(found, minutes, speed)


def picture(path, seed=0, size=(80, 70), channels=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), np.uint8)
    Image.fromarray(pixels.squeeze()).save(path)


@pytest.fixture
def photographs(tmp_path):
    for i in range(45):
        picture(tmp_path / ("cat" if i % 15 else "dog") / f"{i}.png", i, (80 + i, 70))
    return tmp_path


def test_what_a_folder_holds(photographs):
    Image.new("RGB", (90, 70), (10, 20, 30)).save(photographs / "cat/flat.png")
    (photographs / "cat/copy.png").write_bytes((photographs / "cat/7.png").read_bytes())
    (photographs / "cat/text.png").write_text("no picture")
    found = inspect(photographs)
    assert found.count == 47 and found.labels == {"cat": 44, "dog": 3}
    assert found.duplicates == (("cat/7.png", "cat/copy.png"),)
    assert found.constant == ("cat/flat.png",)
    assert found.broken == (("cat/text.png", "it is no picture"),)
    assert found.modes == {"RGB": 47} and found.depths == {8: 47}
    assert (found.low, found.high) == (0, 1) and found.mean == pytest.approx(0.5, abs=0.02)
    assert found.short_side == 70 and found.sizes[(90, 70)] == 2
    said = "\n".join(found.warnings())
    assert all(word in said for word in ("1 broken", "1 duplicates", "one single colour", "44 examples in the largest, 3 in dog"))


def loads(recipe):
    """The proposed recipe's sections, and its data as the trainer would make it."""
    config = yaml.safe_load(recipe)
    settings = dict(config["data"])
    flip, name = settings.pop("flip"), settings.pop("name")
    data = DATASETS[name](**settings)
    assert config["train"]["batch"] <= len(data)
    assert ("conditions" in config) == ("guidance" in config["sample"]) == (len(data.classes) > 1)
    return config, flip, data


def test_the_proposal_for_photographs(photographs):
    (photographs / "cat/text.png").write_text("no picture")
    config, flip, data = loads(propose(inspect(photographs)))
    assert config["data"]["size"] == 64 and config["network"]["patch"] == 4 and flip is True
    assert data.shape == (3, 64, 64) and config["data"]["skip_broken"] is True
    assert config["conditions"] == [{"name": "label", "drop": 0.1}]
    assert set(config) == {"data", "network", "conditions", "predict", "noise", "train", "sample", "seed"}


@pytest.mark.parametrize(
    "size, channels, expected",
    [
        ((28, 28), 1, (28, 2, False)),
        ((8, 8), 1, (8, 1, False)),
        ((31, 27), 3, ([27, 31], 2, True)),
        ((200, 150), 3, (64, 4, True)),
        ((200, 40), 1, (32, 2, False)),
        ((300, 20), 3, (20, 1, True)),
    ],
)
def test_size_patch_and_flip(tmp_path, size, channels, expected):
    for i in range(6):
        picture(tmp_path / f"{i}.png", i, size, channels)
    config, flip, data = loads(propose(inspect(tmp_path)))
    assert (config["data"]["size"], config["network"]["patch"], flip) == expected
    assert data.shape[0] == channels and "conditions" not in config


def test_a_gpu_allows_larger_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for i in range(4):
        picture(tmp_path / f"{i}.png", i, (200, 150 + i))
    config, *_ = loads(propose(inspect(tmp_path), speed=GPU))
    assert config["data"]["size"] == 128 and config["network"]["patch"] == 2 and config["network"]["width"] == 64


def asked_for(found, *how):
    config = yaml.safe_load(propose(found, *how))
    return config["network"], config["train"]


def test_the_network_grows_with_the_machine_and_the_minutes(photographs):
    """A machine four times as fast, and four times the minutes, are the same; a network that sees too few pictures is not taken, however long the list."""
    found = inspect(photographs)
    small, large = asked_for(found, 10.0, LAPTOP)[0], asked_for(found, 40.0, LAPTOP)[0]
    assert asked_for(found, 10.0, machine(4 * 60e6))[0] == large != small
    assert (small["patch"], small["width"], large["patch"], large["width"]) == (4, 32, 2, 32)
    assert asked_for(found, 10.0, SLOW)[0]["patch"] == 4 and asked_for(found, 10.0, GPU)[0]["patch"] == 1


def test_slow_networks_are_not_measured(photographs):
    measured = []
    propose(inspect(photographs), 10.0, lambda recipe, shape, classes: measured.append((recipe["network"]["width"], shape, classes)) or 3.0)
    assert measured == [(32, (3, 64, 64), 2)] * 2  # the smallest, and the one that is too slow already


@pytest.mark.parametrize(("speed", "minutes"), [(SLOW, 10.0), (LAPTOP, 10.0), (LAPTOP, 0.5), (GPU, 60.0)])
def test_steps_and_warm_up_fit_the_length(photographs, speed, minutes):
    network, train = asked_for(inspect(photographs), minutes, speed)
    images = 60 * minutes * speed({"network": network}, (3, 64, 64), 2)
    assert train["warmup"] <= images / 20 and train["minutes"] == minutes
    assert train["batch"] in (16, 32) or images / train["batch"] > 1000


@pytest.mark.parametrize(("count", "words", "dropout"), [(30, "expect copies", True), (500, "nearly as they are", True), (5000, "new pictures", False)])
def test_what_so_many_pictures_allow(tmp_path, count, words, dropout):
    np.savez(tmp_path / "a.npz", np.random.default_rng(0).integers(0, 256, (count, 64, 64, 1), np.uint8))
    recipe = propose(inspect(tmp_path / "a.npz"))
    assert words in recipe and ("dropout" in yaml.safe_load(recipe)["network"]) == dropout


def test_the_proposal_trains(photographs, tmp_path_factory):
    """With this machine's own speed, of the parts that it was measured with."""
    config = yaml.safe_load(propose(inspect(photographs), 10.0, lambda recipe, shape, classes: speed(recipe, (3, 16, 16), classes, 0.05)))
    config["data"]["size"], config["train"] = 16, {**config["train"], "minutes": None, "steps": 2, "evals": 0}
    config["sample"]["steps"] = 1
    run = train(config, tmp_path_factory.mktemp("runs") / "run", quiet=True)
    assert (run.path / "samples" / "final.png").is_file()


def large(count, side=300):
    """What inspecting so many large photographs would find."""
    return Inspection(Path("/photos"), "folder", Counter({(side, side): count}), Counter({"RGB": count}), Counter({8: count}), True, False, 0.0, 1.0, 0.5)


def rates(autoencoder, network):
    """A machine that trains autoencoders at so many pixels a second, and networks on so many latents of 64 x 64."""
    return lambda recipe, shape, classes: autoencoder / shape[1] / shape[2] if "autoencoder" in recipe else network * 64**2 / shape[1] / shape[2]


def test_large_pictures_are_diffused_in_latents_where_there_is_time_for_both():
    """60 million pixels of the autoencoder in a third of the time, 100,000 latents of the network in the rest, 0.85 of the minutes being spent on training."""
    found = proposals(large(3000), 30.0, rates(120_000, 100.0), "mine")
    first, last = (yaml.safe_load(text) for text in found.values())
    assert [*found] == ["mine_ae", "mine"] and first["data"] == last["data"] and first["data"]["size"] == 256
    assert first["train"]["minutes"] == 10 and last["train"]["minutes"] == 20 and last["autoencoder"] == "runs/mine_ae"
    assert "network" not in first and last["network"]["patch"] in (2, 4) and "6 times fewer numbers" in found["mine"]
    smaller = proposals(large(3000), 30.0, rates(120_000, 97.0), "mine")  # 64 x 64 latents are too slow, 32 x 32 four times as fast
    assert yaml.safe_load(smaller["mine"])["data"]["size"] == 128


@pytest.mark.parametrize(
    ("found", "speed", "says"),
    [
        (large(499), rates(1e9, 1e9), "499 pictures are too few"),
        (large(3000), rates(60e6 / (0.85 * 600) - 50, 1e9), "128 px an autoencoder would want 30 minutes in all"),
        (large(3000), rates(1e9, 24.0), r"97,920 latents of 128 px would be seen here, of the 100,000 that should be \(31 minutes"),
        (large(3000, 100), rates(1e9, 1e9), None),
    ],
)
def test_pixels_are_proposed_where_latents_would_want_more(found, speed, says):
    (recipe,) = proposals(found, 30.0, speed, "mine").values()
    assert "autoencoder" not in yaml.safe_load(recipe)
    assert re.search(says, recipe) if says else "latents" not in recipe


def test_both_recipes_of_latents_train(tmp_path, monkeypatch):
    """By one command each, in the order in which they are named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fromnoise.data.inspect.latents.FEW", 5)
    for i in range(8):
        picture(tmp_path / "photos" / f"{i}.png", i, (130, 128))
    for name, text in proposals(inspect(tmp_path / "photos"), 30.0, rates(1e9, 1e9), "mine").items():
        config = yaml.safe_load(text)
        config["data"]["size"], config["train"] = 16, {**config["train"], "minutes": None, "steps": 2, "evals": 0, "batch": 4}
        if "network" in config:
            config["network"]["patch"], config["sample"]["steps"] = 1, 1
        train(config, tmp_path / "runs" / name, quiet=True)
    assert (tmp_path / "runs/mine/samples/final.png").is_file()


def test_transparent_ones_are_laid_on_white(tmp_path):
    for i in range(4):
        ink = np.zeros((40, 60, 4), np.uint8)
        ink[10 + i : 20, 10:30, 3] = 255  # black strokes on nothing
        Image.fromarray(ink).save(tmp_path / f"{i}.png")
    found = inspect(tmp_path)
    assert found.alpha and found.high == 1 and found.mean > 0.9
    _, _, data = loads(propose(found))
    assert data.shape[0] == 3 and data.base.x.float().mean() > 200


def test_captions_that_speak_of_sides(tmp_path):
    for i in range(4):
        picture(tmp_path / f"{i}.png", i)
    for caption, expected in (("a bird", True), ("a bird looking left", False), ("a leftover", True)):
        rows = [json.dumps({"file_name": f"{i}.png", "text": caption}) for i in range(4)]
        (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
        found = inspect(tmp_path)
        assert found.captions == (caption,) * 4
        assert loads(propose(found))[1] is expected


def test_sixteen_bits(tmp_path):
    values = np.full((20, 20), 32768, np.uint16)
    values[0, 0] = 0
    for name in ("a.png", "b.png"):
        Image.fromarray(values).save(tmp_path / name)
    found = inspect(tmp_path)
    assert found.depths == {16: 2} and found.high == pytest.approx(32768 / 65535, abs=1e-5)
    assert any("low contrast" in warning for warning in found.warnings()) == (found.high - found.low < 0.5)


def test_an_awkward_path(tmp_path):
    home = tmp_path / "my: {pictures}, #1 'ü' \"x\""
    for i in range(3):
        picture(home / f"{i}.png", i)
    assert loads(propose(inspect(home)))[0]["data"]["path"] == str(home)


def test_npz(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "a.npz", images, np.arange(30) % 3)
    found = inspect(tmp_path / "a.npz")
    assert found.labels == {"0": 10, "1": 10, "2": 10} and found.mean == pytest.approx(images.mean() / 255, abs=1e-4)
    assert len(loads(propose(found))[2]) == 28
    np.savez(tmp_path / "a.npz", images, np.arange(30) % 3 * 10**12)
    assert inspect(tmp_path / "a.npz").labels == {"0": 10, "1000000000000": 10, "2000000000000": 10}


def test_a_test_folder_of_its_own(tmp_path):
    for i in range(9):
        picture(tmp_path / ("train", "train", "test")[i % 3] / "ab"[i % 2] / f"{i}.png", i)
    found = inspect(tmp_path)
    assert found.count == 6 and found.held_out == 3 and set(found.labels) == {"a", "b"}


def test_a_test_folder_that_a_recipe_would_fail_on(tmp_path):
    for i, name in enumerate(["train/a", "train/b", "test"]):
        picture(tmp_path / name / f"{i}.png", i)
    with pytest.raises(Problem, match="have no classes"):
        inspect(tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_published_sets(tmp_path, name):
    if name == "cifar10":
        import pickle

        home = tmp_path / "cifar-10-batches-py"
        home.mkdir()
        for seed, batch in enumerate(["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]):
            x = np.random.default_rng(seed).integers(0, 256, (4, 3072), np.uint8)
            (home / batch).write_bytes(pickle.dumps({b"data": x, b"labels": [0, 1, 2, 9]}, 2))
    else:
        home = tmp_path / name
        home.mkdir()
        (home / "train-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 8, 0, 0, 0, 8]) + bytes(range(256)) * 5)
        (home / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 20]) + bytes(range(10)) * 2)
    config, _, data = loads(propose(inspect(tmp_path)))
    assert config["data"]["name"] == name and len(data) == 20 and len(data.classes) == 10


def test_the_report_prints_and_returns_the_recipe(photographs):
    out = io.StringIO()
    recipes = report(photographs, 10.0, LAPTOP, console(file=out, width=100), "mine")
    said = out.getvalue()
    assert recipes == {"mine": propose(inspect(photographs))} and recipes["mine"] in said
    assert re.search(r"pictures +45", said) and re.search(r"labels +2 classes: cat 42, dog 3", said)


def test_nothing_to_inspect(tmp_path):
    with pytest.raises(Problem, match="no pictures"):
        inspect(tmp_path)
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(Problem, match="none of the 1 pictures"):
        inspect(tmp_path)
    with pytest.raises(Problem, match="no such file"):
        inspect(tmp_path / "absent.npz")


def test_a_folder_of_sounds_is_heard_and_its_recipe_reads_it(tmp_path):
    """Words that names begin with may be classes; the length is that of all but the longest, in whole numbers of frames."""
    for i in range(40):
        write_wave(tmp_path / f"{'yes' if i % 2 else 'no'}_{i}.wav", sine(300, 0.3 if i else 2.0, 16000), 16000)
    (tmp_path / "no_bad.wav").write_text("no sound")
    (recipe,) = report(tmp_path, 5, lambda recipe, shape, classes: 100.0 if (shape, classes) == ((1, 64, 32), 2) else 0.0).values()
    node = yaml.safe_load(recipe)
    data = node["data"]
    assert (data["rate"], data["seconds"], data["skip_broken"], "mono" in data, "resample" in data) == (16000, 32 * 256 / 16000, True, False, False)
    assert node["autoencoder"] == {"name": "mel", "rate": 16000, "mels": 64, "window": 768, "hop": 256} and node["train"]["minutes"] == 5
    made = DATASETS["sound"](**{key: value for key, value in data.items() if key != "name"})
    assert made.classes == ("no", "yes") and made.shape == (1, 8192)
    assert build(Recipe.of(node).with_defaults(), Example(made.shape, made.classes)).latent_shape == (1, 64, 32)


def test_sounds_that_differ_are_resampled_and_mixed(tmp_path):
    for name, rate, count in (("a/1", 8000, 1), ("a/2", 8000, 2), ("b/1", 22050, 1)):
        write_wave(tmp_path / f"{name}.wav", np.stack([sine(300, 0.3, rate)] * count), rate)
    found = sounds.inspect(tmp_path)
    assert found.labels == {"a": 2, "b": 1} and found.rates == {8000: 2, 22050: 1} and not found.warnings()
    data = yaml.safe_load(sounds.proposals(found, 5, lambda *_: 10.0, "a")["a"])["data"]
    assert (data["rate"], data["resample"], data["mono"], "label_from" in data) == (8000, True, True, False)
    (tmp_path / "a/1.wav").write_text("x")
    assert sounds.inspect(tmp_path).warnings() == ["1 broken (a/1.wav: it is cut short, or no such sound): remove them, or data.skip_broken=true"]
    with pytest.raises(Problem, match="a file, not a folder|not a folder|no such"):
        sounds.inspect(tmp_path / "b/1.wav")


def test_lines_of_text_are_counted_and_their_recipe_reads_them(tmp_path):
    lines = [f"{'a fairly long line of words ' * (i % 3)}number {i}" for i in range(300)]
    (tmp_path / "poems").mkdir()
    (tmp_path / "poems/one.txt").write_text("\n".join([*lines, "", "  number 0 "]))
    found = texts.inspect(tmp_path)
    assert dict(found.rows())["lines"] == "300, and 1 that occur again" and found.lengths == tuple(sorted(map(len, lines)))
    assert any("300 lines are few" in line for line in found.warnings())
    heard = []
    (recipe,) = report(tmp_path, 5, lambda *words: heard.append(words[1:]) or 50.0).values()
    node = yaml.safe_load(recipe)
    made = DATASETS["lines"](**{key: value for key, value in node["data"].items() if key != "name"})
    assert made.shape == (1, 80) and heard == [((8, 80), 0)] and "wrap" not in node["data"]  # 67 bytes, in whole 16s
    assert build(Recipe.of(node).with_defaults(), Example(made.shape)).latent_shape == (8, 80)
    (tmp_path / "alone.txt").write_text("\n".join(["x" * 4] * 3 + [f"{i} " * 200 for i in range(100)]))
    long = yaml.safe_load(report(tmp_path / "alone.txt", 5, lambda *_: 50.0)["alone"])
    assert long["data"] == {"name": "lines", "path": str(tmp_path / "alone.txt"), "length": 256, "wrap": True}
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(Problem, match="is empty: it holds no line of text"):
        report(tmp_path / "empty.txt", 5, SLOW)


def test_shapes_are_counted_and_their_two_recipes_read_them(tmp_path):
    """An .npz of named grids, and a folder of meshes that is larger than the pictures beside them."""
    grids = np.zeros((40, 32, 32, 32), bool)
    grids[:, 4:20, 4:20, 4:20] = True
    np.savez(tmp_path / "solid.npz", cube=grids[:30], box=grids[30:])
    first, second = report(tmp_path / "solid.npz", 4, lambda recipe, shape, classes: 10.0 if (shape, classes) == ((4, 8, 8, 8), 2) else 0.0).items()
    assert [name for name, _ in (first, second)] == ["solid_ae", "solid"]
    stage, node = (yaml.safe_load(text) for _, text in (first, second))
    assert stage["train"]["minutes"] + node["train"]["minutes"] == 4 and node["autoencoder"] == "runs/solid_ae"
    made = DATASETS["meshes"](**{key: value for key, value in node["data"].items() if key != "name"})
    encoder = build_autoencoder(Recipe.of(stage | {"shape": made.shape})).autoencoder
    assert made.classes == ("box", "cube") and tuple(encoder.latent_shape(made.shape)) == (4, 8, 8, 8)
    found = meshes.inspect(tmp_path / "solid.npz")
    assert found.count + found.held_out == 40 and found.full == (0.125, 0.125) and not found.warnings()
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in "ab":
        trimesh.creation.box((1, 0.004, 0.004)).export(folder / f"{name}.obj")
    Image.new("L", (8, 8)).save(folder / "preview.png")
    (folder / "c.obj").write_text("nothing")
    assert yaml.safe_load(report(folder, 4, lambda *_: 10.0)["folder"])["data"]["skip_broken"]
    assert any("the thinnest has fewer" in line for line in meshes.inspect(folder).warnings())
