"""An image run that becomes one of clips."""

import pytest
import torch
from safetensors.torch import load_file

import fromnoise
from fromnoise.draws import Draws
from fromnoise.editing import continued
from fromnoise.errors import Problem
from fromnoise.model import STILLS
from fromnoise.runs.folder import Run
from fromnoise.training.loop import train
from fromnoise.training.setup import setup
from tests.training.test_length import cut_at
from tests.training.test_train import same

OWN = {"steps": 8, "batch": 8, "evals": 2, "warmup": 0, "lr": 1e-3, "held_out": 8, "log_every": 4}
UNET = {"name": "unet", "width": 8, "levels": [1, 2], "blocks": 1}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A run of pictures, by class."""
    recipe = {"data": {"name": "tests.parts:stand_in", "like": "mnist"}, "network": UNET, "conditions": ["label"], "sample": {"name": "ddim", "steps": 3}}
    return train(recipe | {"train": OWN}, tmp_path_factory.mktemp("base") / "image", quiet=True).path


def clips(base, **more):
    """A recipe that inserts temporal layers into a run."""
    return {"data": {"name": "tests.parts:stand_in", "like": "moving_digits"}, "base": str(base), "network": {"temporal": True}, "train": OWN} | more


def test_the_bases_weights_and_settings_are_there_and_the_temporal_layers_alone_are_trained(image, tmp_path):
    run = train(clips(image, adapter="frozen"), tmp_path / "clips", quiet=True)
    was, own = load_file(image / "model.safetensors"), load_file(run.path / "model.safetensors")
    assert own and all(".temporal." in name for name in own), "what stays is in the base's file"
    model = fromnoise.load(run.path, "cpu")
    now = model.state_dict()
    assert all(torch.equal(now[name], value) for name, value in was.items())
    assert any(bool(value.any()) for name, value in own.items() if name.endswith("temporal.conv_out.weight")), "and these have moved"
    recipe = Run(run.path).recipe(True)
    assert recipe.network == {**UNET, "temporal": True} and recipe.conditions[0]["name"] == "label" and recipe.medium == "videos"
    assert model.sample(2, label=3).shape == (2, 1, 4, 8, 8)


def test_at_first_clips_are_the_image_models_pictures(image):
    """Each frame of a clip has the loss that the image model has of it."""
    parts = setup(clips(image))
    video, plain = parts.model.eval(), fromnoise.load(image, "cpu")
    x, eps, label = torch.rand(2, 1, 4, 8, 8) * 2 - 1, torch.randn(2, 1, 4, 8, 8), torch.tensor([1, 5])
    level = video.noise(torch.tensor([0.3, 0.8], dtype=torch.float64))
    found = video.denoise(2, label=label)(level.mix(x, eps), level)[0]
    for i in range(4):
        expected = plain.denoise(2, label=label)(level.mix(x[:, :, i], eps[:, :, i]), level)[0]
        assert torch.allclose(found[:, :, i], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("adapter", "own"),
    [("frozen", {}), (None, {"stills": 0.5, "forcing": 0.5}), ("frozen", {"forcing": 0.5}), ({"name": "lora", "rank": 2}, {"stills": 0.5})],
    ids=["frozen", "stills and forcing", "frozen and forcing", "lora and stills"],
)
def test_it_goes_on_bit_for_bit(image, tmp_path, monkeypatch, adapter, own):
    settings = clips(image, train=OWN | own) | ({"adapter": adapter} if adapter else {})
    train(settings, tmp_path / "whole", quiet=True)
    cut_at(5, monkeypatch, lambda: train(settings, tmp_path / "cut", quiet=True))
    train(settings, tmp_path / "cut", quiet=True)
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_stills_and_forcing_give_frames_levels_of_their_own(image):
    parts = setup(clips(image, train=OWN | {"stills": 0.5}))
    kinds = set()
    for step in range(20):
        batch = parts.objective.drawn(parts.data.get(torch.arange(8)), Draws((0, step), range(8), 8), 0.0)
        own = batch["_alpha"].shape == (8, 4)
        assert own == (STILLS in batch)
        kinds.add(own)
    assert kinds == {True, False}
    forced = setup(clips(image, train=OWN | {"forcing": 1.0})).objective
    assert forced.drawn(parts.data.get(torch.arange(8)), Draws((0, 0), range(8), 8), 0.0)["_alpha"].shape == (8, 4)


def test_a_model_with_levels_of_its_frames_goes_on_from_known_ones(image, tmp_path):
    run = train(clips(image, adapter="frozen", train=OWN | {"forcing": 0.5}), tmp_path / "clips", quiet=True)
    model, known = fromnoise.load(run.path, "cpu"), torch.rand(2, 1, 2, 8, 8) * 2 - 1
    assert model.forcing == 0.5
    made = continued(model, known, 2, label=3)
    assert made.shape == (2, 1, 4, 8, 8) and torch.equal(made[:, :, :2], known)


def test_clips_are_learnt_without_a_base_too(tmp_path):
    settings = {"data": {"name": "tests.parts:stand_in", "like": "moving_digits"}, "network": {**UNET, "temporal": True}, "conditions": ["label"], "train": OWN}
    assert fromnoise.load(train(settings, tmp_path / "run", quiet=True).path, "cpu").sample(1, steps=2).shape == (1, 1, 4, 8, 8)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data": {"name": "tests.parts:stand_in", "like": "mnist"}, "network": {"temporal": True}, "base": None}, "for clips .channels, frames, height, width."),
        ({"data": "moons"}, "for clips"),
        ({"data": {"name": "tests.parts:stand_in", "like": "volumes"}, "network": None}, "is of another network"),
        ({"network": {"name": "dit", "width": 16, "heads": 2, "temporal": True}}, "is of another network"),
        ({"network": {"width": 16, "temporal": True}}, "is of another network"),
        ({"network": {"temporal": False}, "train": OWN | {"forcing": 0.5}}, "set network.temporal=true"),
        ({"network": {"temporal": False}, "train": OWN | {"stills": 0.5}}, "set network.temporal=true"),
        ({"adapter": "frozen", "train": OWN | {"stills": 0.5}}, "stills trains what is not over time"),
        ({"data": {"name": "tests.parts:stand_in", "like": "mnist"}, "network": None, "adapter": "frozen"}, "nothing is left to be trained"),
    ],
)
def test_what_cannot_become_clips_is_refused_in_a_line(image, tmp_path, change, says):
    settings = {key: value for key, value in (clips(image) | change).items() if value is not None}
    with pytest.raises(Problem, match=says) as error:
        train(settings, tmp_path / "run", quiet=True)
    assert "\n" not in str(error.value)
