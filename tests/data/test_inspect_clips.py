"""Inspection of films finds what was put there, tells them from pictures, and proposes a recipe that trains."""

import numpy as np
import pytest
import yaml
from PIL import Image

from fromnoise import config
from fromnoise.data import DATASETS
from fromnoise.data.files.films import CLIPS
from fromnoise.data.files.walk import PICTURES
from fromnoise.data.inspect import clips
from fromnoise.data.inspect.mixed import among
from fromnoise.data.inspect.report import INSPECTORS, inspector_of, report
from fromnoise.errors import Problem
from fromnoise.progress import console
from fromnoise.training import speed, train
from tests.data.test_clips import animation, folder


def moving(path, count=24, seed=0, delays=50, size=(40, 40), colour=True):
    """A block that moves over a picture of noise that is its own, as GIF or a folder of numbered frames."""
    rng = np.random.default_rng(seed)
    ground = Image.fromarray(rng.integers(0, 120, (size[1], size[0], 3), np.uint8)).convert("RGB" if colour else "L")
    frames = []
    for i in range(count):
        frames.append(ground.copy())
        frames[-1].paste((250, 90, 20) if colour else 240, (i % 28, 10, i % 28 + 12, 30))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix:
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=delays, loop=0)
    else:
        path.mkdir()
        for i, frame in enumerate(frames):
            frame.save(path / f"{i:03}.png")
    return path


def pictures(path, count=30):
    """Numbered pictures that have nothing to do with each other."""
    path.mkdir(parents=True)
    for i in range(count):
        coarse = np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(coarse).resize((40, 40)).save(path / f"{i}.png")


def proposal(path, rate=20.0):
    found = clips.inspect(path)
    return yaml.safe_load(clips.proposals(found, 10.0, lambda recipe, shape, classes: rate, "it")["it"])


def test_what_a_folder_of_films_holds(tmp_path):
    for i in range(10):
        moving(tmp_path / ("cat" if i % 2 else "dog") / f"{i}.gif", 20 + i, i, 50 if i else [50, 150] * 10)
    (tmp_path / "cat/copy.gif").write_bytes((tmp_path / "cat/3.gif").read_bytes())
    (tmp_path / "cat/bad.gif").write_text("no film")
    still = [Image.new("L", (40, 40), 100) for _ in range(20)]
    still[1].putpixel((0, 0), 103)
    still[0].save(tmp_path / "dog/still.gif", save_all=True, append_images=still[1:], duration=100)
    Image.new("RGB", (9, 9)).save(tmp_path / "poster.png")
    found = clips.inspect(tmp_path)
    assert len(found.films) == 12 and found.labels == {"cat": 6, "dog": 6} and found.coloured
    assert dict(found.broken) == {"cat/bad.gif": "it is no picture"} and [list(group) for group in found.duplicates] == [["cat/3.gif", "cat/copy.gif"]]
    assert list(found.still) == ["dog/still.gif"] and found.pictures == 1
    rows = dict(found.rows())
    assert rows["films"] == "12 (.gif 12)" and rows["frames"].startswith("3 to 29") and rows["size"] == "40x40"
    assert rows["uneven"].startswith("2 "), "Pillow writes frames that are alike as one"
    said = "\n".join(found.warnings())
    assert all(word in said for word in ("1 broken", "1 duplicates", "1 hardly move", "1 single pictures lie beside the films"))


def test_films_are_told_from_pictures(tmp_path):
    moving(tmp_path / "film/a")
    pictures(tmp_path / "photos/cat")
    assert among(tmp_path / "film") == (1, 24, 0) == among(tmp_path / "film/a")
    assert among(tmp_path / "photos") == (0, 0, 30) and among(tmp_path / "nowhere") == (0, 0, 0)
    assert inspector_of(tmp_path / "film") is INSPECTORS[CLIPS] is inspector_of(tmp_path / "film/a")
    assert inspector_of(tmp_path / "photos") is INSPECTORS[PICTURES] is inspector_of(tmp_path)
    assert "1 films lie among the pictures" in "\n".join(INSPECTORS[PICTURES].inspect(tmp_path).warnings())


def test_a_static_film_of_frames_is_a_film(tmp_path):
    (tmp_path / "a").mkdir()
    for i in range(20):
        Image.new("L", (16, 16), 80).save(tmp_path / f"a/{i}.png")
    assert among(tmp_path).films == 1


def test_a_rate_above_eight_is_thinned_where_films_are_long_enough(tmp_path):
    for i in range(6):
        moving(tmp_path / f"{i}.gif", 28, i, 20)  # 50 a second
    assert {key: proposal(tmp_path)["data"].get(key) for key in ("frames", "stride", "rate", "hop")} == {"frames": 16, "stride": None, "rate": None, "hop": 4}
    for i in range(6):
        moving(tmp_path / f"long/{i}.gif", 28 * 3, i, 20)
    data = proposal(tmp_path / "long")["data"]
    assert (data["stride"], data["frames"]) == (5, 16), "84 frames of 50 a second: 16 at 10 a second"
    for i in range(3):
        moving(tmp_path / f"long/slow{i}.gif", 40, i, 100)
    data = proposal(tmp_path / "long")["data"]
    assert "stride" not in data and data["rate"] == 10 and data["frames"] == 16


def test_short_films_make_short_clips_and_the_shortest_are_left_out(tmp_path):
    for i in range(20):
        moving(tmp_path / f"{i}.gif", 10 if i else 3, i, 100)
    config_ = proposal(tmp_path)
    assert config_["data"]["frames"] == 8 and config_["data"]["skip_broken"] is True
    data = DATASETS["clips"](**{key: value for key, value in config_["data"].items() if key not in ("name", "flip")})
    assert data.shape[:2] == (3, 8)


def test_grey_films_stay_grey_and_the_size_is_one(tmp_path):
    for i in range(6):
        moving(tmp_path / f"{i}.gif", 20, i, 100, colour=False)
    data = proposal(tmp_path)["data"]
    assert data["channels"] == "grey" and data["size"] == 32 and data["flip"] is False


def test_one_long_film_is_enough(tmp_path):
    moving(tmp_path / "frames", 120, size=(160, 40))
    recipe = proposal(tmp_path / "frames")
    settings = {key: value for key, value in recipe["data"].items() if key not in ("name", "flip")}
    train_, test = (DATASETS["clips"](**settings, split=split) for split in ("train", "test"))
    assert len(train_) > 15 and len(test) >= 1 and recipe["data"]["hop"] == 4


def test_nothing_that_can_be_read_is_a_line(tmp_path):
    for name in ("a.gif", "b.gif"):
        (tmp_path / name).write_text("no film")
    with pytest.raises(Problem, match="none of the 2 films in .* can be read"):
        clips.inspect(tmp_path)


@pytest.mark.slow
def test_what_is_proposed_trains_as_it_is(tmp_path, monkeypatch):
    for i in range(12):
        moving(tmp_path / "films" / ("cat" if i % 2 else "dog") / f"{i}.gif", 18, i, size=(24, 20))
    folder(tmp_path / "films/cat/frames", 18)
    animation(tmp_path / "films/dog/a.webp", 18)
    recipe = next(iter(report(tmp_path / "films", 0.05, speed, console()).values()))
    (tmp_path / "it.yaml").write_text(recipe)
    train(config.load(str(tmp_path / "it.yaml"), ["train.steps=2", "train.batch=2"]), tmp_path / "run")
    assert (tmp_path / "run/model.safetensors").is_file()
