"""Recipes: from YAML and overrides to one frozen value."""

import dataclasses
import math
from itertools import pairwise

import pytest
from omegaconf import OmegaConf

from fromnoise import config
from fromnoise.config import Recipe, differences
from fromnoise.errors import Problem, Usage
from tests import parts


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "data: {name: npz, path: 'a:b.npz'}\nnetwork: {name: unet, width: 16}\nnoise: cosine\nconditions: label\n"
        "train: {images: 1000, batch: 10}\nsample: {name: unipc, steps: 5}\n"
    )
    return path


def test_a_name_in_short_is_a_part(file):
    recipe = config.read(file)
    assert recipe.noise == {"name": "cosine"} and recipe.conditions == [{"name": "label"}]
    assert recipe.predict is None and recipe.with_defaults().predict == "v"


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "a: " + "{b: " * 100 + "1" + "}" * 100, "a:\n  " + "- " * 3000 + "x", "? " * 3000 + "x"])
def test_a_file_nested_too_deep_is_one_line(tmp_path, text):
    (tmp_path / "deep.yaml").write_text(text)
    with pytest.raises(Problem, match="nested deeper than 64"):
        config.load(str(tmp_path / "deep.yaml"))


OVER = {  # what a second file says, and what becomes of the first with it
    "train: {lr: 0.5}": {"train": {"images": 1000, "batch": 10, "lr": 0.5}},
    "train: {minutes: 2}": {"train": {"minutes": 2, "batch": 10}},
    "network: {width: 8}": {"network": {"name": "unet", "width": 8}},
    "network: {name: unet, blocks: 1}": {"network": {"name": "unet", "width": 16, "blocks": 1}},
    "network: conv": {"network": {"name": "conv"}},
    "network: {name: conv, width: 5}": {"network": {"name": "conv", "width": 5}},
    "noise: {high: 0.9}": {"noise": {"name": "cosine", "high": 0.9}},
    "conditions: []": {"conditions": []},
    "seed: 4\npredict: eps": {"seed": 4, "predict": "eps"},
    "": {},
}


@pytest.mark.parametrize("text", OVER)
def test_a_later_recipe_is_merged_over_an_earlier_one(file, tmp_path, text):
    (tmp_path / "second.yaml").write_text(text)
    assert config.load(str(file), [str(tmp_path / "second.yaml")]) == dataclasses.replace(config.read(file), **OVER[text])


def test_recipes_are_merged_left_to_right_and_settings_come_last(file, tmp_path):
    for i, name in enumerate(("second", "third"), 2):
        (tmp_path / f"{name}.yaml").write_text(f"train: {{lr: {i}, batch: {i}, rate: {{name: step, gamma: 0.{i}}}}}")
    second, third = (str(tmp_path / f"{name}.yaml") for name in ("second", "third"))
    train = config.load(str(file), [second, "train.batch=7", third]).train
    assert train == {"images": 1000, "lr": 3, "batch": 7, "rate": {"name": "step", "gamma": 0.3}}
    assert config.load(str(file), [third, second, "train.rate=cosine"]).train["rate"] == {"name": "cosine"}
    (tmp_path / "word.yaml").write_text("train: {rate: step}")
    assert config.load(str(tmp_path / "word.yaml"), [second]).train["rate"] == {"name": "step", "gamma": 0.2}
    assert config.load(second, [str(tmp_path / "word.yaml")]).train["rate"] == {"name": "step", "gamma": 0.2}


def test_what_is_wrong_with_a_later_recipe_names_its_file(file, tmp_path):
    (tmp_path / "second.yaml").write_text("netwrk: conv")
    with pytest.raises(Usage, match="second.yaml: no setting 'netwrk'"):
        config.load(str(file), [str(tmp_path / "second.yaml")])
    with pytest.raises(Usage, match="no recipe 'width'.* key=value"):
        config.load(str(file), ["width"])


def test_a_recipe_is_frozen_and_comes_back_from_its_text(file):
    recipe = config.read(file)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.seed = 1
    assert Recipe.of(OmegaConf.to_container(OmegaConf.create(recipe.text()))) == recipe
    assert Recipe.of(recipe) is recipe


@pytest.mark.parametrize(
    ("override", "part", "expected"),
    [
        ("network=conv", "network", {"name": "conv"}),  # another network: the old one's width makes no sense there
        ("network.name=conv", "network", {"name": "conv"}),
        ("network.width=8", "network", {"name": "unet", "width": 8}),
        ("noise.high=0.9", "noise", {"name": "cosine", "high": 0.9}),
        ("sample.name=ddim", "sample", {"name": "ddim", "steps": 5}),
        ("sample=ddim", "sample", {"name": "ddim"}),
        ("conditions=null", "conditions", None),
        ("conditions=[{name: label, drop: 0.5}]", "conditions", [{"name": "label", "drop": 0.5}]),
        ("seed=3", "seed", 3),
    ],
)
def test_overrides(file, override, part, expected):
    assert getattr(config.read(file, [override]), part) == expected


def test_names_go_before_the_settings_below_them(file):
    assert config.read(file, ["network.width=3", "network=conv"]).network == {"name": "conv", "width": 3}


@pytest.mark.parametrize("length", ["images=50", "steps=300", "minutes=1"])
def test_one_length_takes_the_place_of_the_files_other(file, length):
    train = config.read(file, [f"train.{length}"]).train
    assert [key for key in train if key in config.LENGTHS] == [length.split("=")[0]] and train["batch"] == 10


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("network", "an override is key=value"),
        ("=3", "an override is key=value"),
        ("netwrok=conv", "did you mean 'network'"),
        ("train=3", "train is a mapping"),
        ("seed=x", "seed is a whole number"),
        ("conditions=[{hint: edges}]", "each condition is a name, or a mapping with one"),
        ("conditions=[5]", "conditions is a name, or a mapping"),
        ("data={name:moons}", "cannot set data={name:moons}: YAML wants a space after a colon, as in name: moons$"),
        ("conditions=[{name: label}, {name:text,drop: 0.2}]", "as in name: text$"),
    ],
)
def test_overrides_that_cannot_be(file, override, says):
    with pytest.raises(Usage, match=says):
        config.read(file, [override])


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("netwrok: unet", Usage, "did you mean 'network'"),
        ("- a\n- b", Problem, "holds no settings"),
        ("network: [", Problem, "is not readable as YAML"),
        ("network: 3", Usage, "network is a name"),
        ("seed: 0\nseed: 1\n", Problem, "found duplicate key seed in line 2, column 1$"),
        ("data:\n\tname: digits\n", Problem, "in line 2, column 1; indent with spaces"),
        ("seed: 0".encode("utf-16"), Problem, "save it as UTF-8"),
        ("#" * 4_000_001, Problem, "4,000,001 letters"),
        (b"# \xfc\nseed: 0", Problem, "save it as UTF-8"),
        ("a: &a [x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghi")), Problem, "expan"),
    ],
)
def test_files_that_cannot_be(tmp_path, text, error, says):
    (tmp_path / "r.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(error, match=says):
        config.read(tmp_path / "r.yaml")


def test_callables_become_the_names_by_which_they_are_found_again():
    recipe = Recipe.of({"data": parts.blobs, "network": {"name": parts.Plain, "frozen": True}})
    assert recipe.data == {"name": "tests.parts:blobs"} and recipe.network == {"name": "tests.parts:Plain", "frozen": True}
    with pytest.raises(Usage, match="define it at the top of a module"):
        Recipe.of({"noise": {"name": "table", "betas": lambda n, start, end: None}})


@pytest.mark.parametrize(
    "said",
    [
        {"network": "os:system"},
        {"sample": {"name": "os:system"}},
        {"noise": {"name": "shifted", "base": {"name": "os:system"}}},
        {"conditions": [{"name": "label"}, {"name": "mine:Angle"}]},
        {"train": {"optimizer": "mine:sgd"}},
        {"predict": "mine:row"},
        {"noise": {"name": "table", "betas": "mine:betas"}},
    ],
)
def test_a_part_of_somebodys_own_is_found_wherever_it_is_named(said):
    with pytest.raises(Problem, match="loading it runs that code"):
        Recipe.of(said).check_trusted(False, "runs/x", data=True)
    Recipe.of(said).check_trusted(True, "runs/x", data=True)


def test_words_with_a_colon_that_name_no_part_are_no_code(file):
    Recipe.of({"data": {"name": "folder", "path": "C:pictures"}, "classes": ["a:b"], "base": {"run": "x:y"}}).check_trusted(False, "runs/x")
    config.read(file).check_trusted(False, "runs/x")


def test_differences_are_named_by_their_place(file):
    one, other = config.read(file), config.read(file, ["network.width=8", "seed=2"])
    assert differences(one, other) == [("network.width", 16, 8), ("seed", 0, 2)]
    assert differences(one, one) == []


@pytest.mark.parametrize("folder", ["2024", "007", "1e3", "photos #1", "p: q", "true", "2024-01-05", "[old]", "{a}", "- x", "#1", "*x", "@home", "~/x", "a: [b"])
def test_a_folder_is_what_was_typed(file, folder):
    assert config.read(file, [f"data.path={folder}"]).data["path"] == folder
    assert config.read(file, [f"data.root={folder}"]).data["root"] == folder
    assert config.read(file, [f"base.run={folder}"]).base == {"run": folder}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("#ff8800", "#ff8800"),  # YAML's comment
        ("[255, 0, 0]", [255, 0, 0]),
        ("p: q", "p: q"),
        ("a #b", "a #b"),
        ("- x", "- x"),
        ("*x", "*x"),
        ("1e-3", 0.001),
        ("7", 7),
        ("'7'", "7"),
        ("true", True),
        ("null", None),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_values_are_what_was_typed(file, text, value):
    found = config.read(file, [f"data.background={text}"]).data["background"]
    assert found == value and type(found) is type(value)


def test_a_base_is_a_folder_or_a_mapping(file):
    assert config.read(file, ["base=2024"]).base == "2024"
    assert config.read(file, ["base={run: runs/x, weights: best}"]).base == {"run": "runs/x", "weights": "best"}
    with pytest.raises(Usage, match="cannot set conditions"):
        config.read(file, ["conditions=[{name: label"])


def test_numbers_are_checked():
    def takes(share: float = 0.5, most: float = math.inf, count: int = 3):
        return share, most, count

    for key in ("share", "most", "count"):
        for value in ("word", True, math.nan, -math.inf, None, [1.0], 10**400):
            with pytest.raises(Usage, match=f"x: {key} is a "):
                config.call(takes, {key: value}, "x")
    for value in (10**12 + 1, -(2**70), 1e30):
        with pytest.raises(Usage, match="x: count is a whole number from -1,000,000,000,000 to 1,000,000,000,000, not"):
            config.call(takes, {"count": value}, "x")
    with pytest.raises(Usage, match="x: share is a finite number, not inf"):
        config.call(takes, {"share": math.inf}, "x")
    assert config.call(takes, {"share": 1, "most": math.inf, "count": 2.0}, "x") == (1.0, math.inf, 2)  # a default may be said
    with pytest.raises(Usage, match="data_std is a finite number"):
        Recipe.of({"data_std": math.nan})


def test_a_word_that_yaml_takes_for_a_number_is_to_be_quoted():
    def takes(path: str):
        return path

    with pytest.raises(Usage, match="put it in quotes, '2024'"):
        config.call(takes, {"path": 2024}, "x")


@pytest.mark.parametrize("name", ["${x}", "${", r"\${x}", r"a\\${seed}", "$", "#1", "a: b", "- c", "null", "1e3", "[/x]", "é", "\u2028", "a\nb", "'", '"'])
def test_names_of_classes_come_back_from_a_runs_file(tmp_path, name):
    made = Recipe(data={"name": "folder", "path": name}, classes=(name, "b"), version=2)
    (tmp_path / "config.yaml").write_text(made.text(), encoding="utf-8")
    back = config.read(tmp_path / "config.yaml")
    assert back.classes == (name, "b") and back.data["path"] == name


def test_a_run_of_thousands_of_classes_comes_back(tmp_path):
    """More than the 10,000 nodes that OmegaConf reads of a file unless it is told."""
    classes = tuple(f"class {i}" for i in range(10_001))
    (tmp_path / "config.yaml").write_text(Recipe(classes=classes).text())
    assert config.read(tmp_path / "config.yaml").classes == classes


@pytest.mark.parametrize("override", ["data.path=${x}", "train.lr=${", "seed=${nothing.there}"])
def test_a_reference_to_nothing_is_one_line(file, override):
    with pytest.raises(Usage, match="there is none such|cannot set"):
        config.read(file, [override])
