"""Pictures of what a model is conditioned on, and of a model that leads from one set of pictures to another."""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import nn

from fromnoise.data import Tensors
from fromnoise.diffusion import Denoiser, Flow, Paired
from fromnoise.errors import Usage
from fromnoise.figures import alternating, condition, estimate, input_pictures, reverse, reverse_gif, tiles
from fromnoise.model import Model, Sampling
from tests.parts import blobs

from .pixels import holds


class Negative(nn.Module):
    """The network that has learnt to lead every picture s to -s: on the straight way between them, x = (2 t - 1) s at time t, it predicts
    x0 - eps = -2 s = 2 x / (1 - 2 t)."""

    dim = 1

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x, t, context=None):
        t = t.double().reshape(-1, *[1] * (x.ndim - 1))
        return (2 * x * torch.hypot(1 - t, t) / (1 - 2 * t)).float()


@pytest.fixture
def negatives():
    """Pictures that come from their negatives, and the model that knows it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(20, 236, (12, 1, 8, 8), generator=generator, dtype=torch.uint8)
    model = Model(Denoiser(Negative(), "iadb", "flow"), Flow(), (1, 8, 8), source=Paired("image"), sampling=Sampling("iadb", 3))
    model.source_values = (255 - x[:5]).float() / 127.5 - 1
    return model, Tensors("negatives", x, image=255 - x)


def test_the_walk_from_pictures_begins_at_them_and_ends_at_their_negatives(negatives):
    model, _ = negatives
    picture = reverse(model, 3, snapshots=4)
    for source in model.source_values[:3]:
        for tile in (*tiles(source[None]), *tiles(-source[None])):
            assert holds(picture, tile) >= 1, "both ends are there, and where the model knows, its estimate is the end from the start"


def test_the_film_from_pictures_begins_at_them(negatives, tmp_path):
    model, _ = negatives
    with Image.open(reverse_gif(model, tmp_path / "a.gif", 1)) as film:
        frames = [np.asarray(frame.convert("L")).astype(float) for frame in ImageSequence.Iterator(film)]
    source = np.asarray(tiles(model.source_values[:1], 4)[0]).astype(float)
    for frame, wanted in ((frames[0], source), (frames[-1], 255 - source)):
        windows = np.lib.stride_tricks.sliding_window_view(frame, source.shape)
        assert np.abs(windows - wanted).max((2, 3)).min() <= 4  # greys are rounded in a film


def test_the_strip_of_a_model_between_two_sets_shows_where_each_sample_began(negatives):
    model, data = negatives
    picture = condition(model, data, n=1, rows=4)
    batch = data.get(torch.arange(4) * 3)
    for x, source in zip(batch["x"], batch["image"], strict=True):
        assert holds(picture, tiles(x[None])[0]) == 2, "the sample is the truth"
        assert holds(picture, tiles(source[None])[0]) == 1


def test_the_estimate_of_a_model_between_two_sets_has_no_noise(negatives):
    model, data = negatives
    picture = estimate(model, data, times=[0.2, 0.9], index=5)
    batch = data.get(torch.tensor([5]))
    assert holds(picture, tiles(batch["x"])[0]) == 4 and holds(picture, tiles(batch["image"])[0]) == 4  # as truth and as estimate, twice


def test_rows_hold_the_pictures_samples_and_truth(labelled, monkeypatch):
    module = importlib.import_module("fromnoise.figures.condition")  # the package's name of it is the function
    drawn = {}
    monkeypatch.setattr(module, "strip", lambda rows, names, columns: drawn.update(rows=rows, names=names, columns=columns))
    data = Tensors("three", torch.zeros(6, 3, 8, 8, dtype=torch.uint8), torch.arange(6) // 2, classes=labelled.classes)
    condition(labelled, data, n=2, rows=3, sampling=Sampling("ddim", 3, seed=7))
    assert drawn["columns"] == ["sample 1", "sample 2", "truth"] and drawn["names"] == ["ant", "bee", "cat"]
    for i in range(2):
        samples = labelled.sample(3, Sampling("ddim", 3, seed=7 + i), label=[0, 1, 2])
        for row, tile in zip(drawn["rows"], tiles(samples), strict=True):
            assert np.array_equal(np.asarray(row[i]), np.asarray(tile))


class Seen(nn.Module):
    """A condition that is a picture, or a hint that says nothing of how it looks."""

    key = "hint"

    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    def picture(self, value):
        return -value if self.looks else None


def test_pictures_among_conditions_are_found_and_nothing_else(model, points):
    value = torch.rand(2, 1, 8, 8)
    for looks in (True, False):
        model.conditions = nn.ModuleDict({"hint": Seen(looks), "text": Seen(False)})
        found = input_pictures(model, 2, {"hint": value, "text": ["a", "b"]})
        assert list(found) == ["hint"] and torch.equal(found["hint"], -value if looks else value)
        assert input_pictures(model, 2, {"hint": None}) == {}
    points.conditions = nn.ModuleDict({"hint": Seen(False)})
    assert input_pictures(points, 2, {"hint": torch.rand(2, 3)}) == {}


def test_inputs_stand_above_their_samples():
    inputs, samples = torch.rand(3, 1, 8, 8) * 2 - 1, torch.rand(3, 3, 8, 8) * 2 - 1
    picture = alternating(inputs, samples, 2)
    for tile in (*tiles(inputs), *tiles(samples)):
        assert holds(picture, tile) == 1


def test_a_model_without_conditions_says_so(model, points):
    for own in (model, points):
        with pytest.raises(Usage, match="no conditions"):
            condition(own, blobs(8))
    with pytest.raises(Usage, match="at least 1 sample"):
        condition(model, blobs(8), n=0)
