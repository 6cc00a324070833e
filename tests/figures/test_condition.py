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


class Fade(nn.Module):
    """The network that has learnt to lead every picture s to s / 2: on the straight way between them x = (1 + t) s / 2 at time t, and it predicts
    x0 - eps = -s / 2 = -x / (1 + t)."""

    dim = 1

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x, t, context=None):
        t = t.double().reshape(-1, *[1] * (x.ndim - 1))
        return (-x * torch.hypot(1 - t, t) / (1 + t)).float()  # x as it was before it was scaled to unit length


@pytest.fixture
def fade():
    """Pictures that come from pictures of twice the contrast, and the model that knows it."""
    image = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    model = Model(Denoiser(Fade(), "iadb", "flow"), Flow(), (1, 8, 8), source=Paired("image"), sampling=Sampling("iadb", 4))
    model.source_values = image[7:]
    return model, Tensors("fade", image / 2, image=image)


def near(picture, tile):
    """How often a picture contains a tile, give or take 4 of its 255 greys."""
    whole, part = (np.asarray(p.convert("L")).astype(int) for p in (picture, tile))
    windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape)
    rows, columns = np.nonzero(abs(windows[:, :, 0, 0] - part[0, 0]) <= 4)
    return sum(np.abs(windows[r, c] - part).max() <= 4 for r, c in zip(rows, columns, strict=True))


def test_the_walk_from_pictures_begins_at_them_and_ends_where_they_lead(fade):
    model, _ = fade
    picture = reverse(model, 3, snapshots=3)
    for source in model.source_values[:3, None]:
        assert near(picture, tiles(source)[0]) == 1 and near(picture, tiles(source * 0.75)[0]) == 1, (
            "halfway it has lost half of what it loses"
        )
        assert near(picture, tiles(source / 2)[0]) == 4, "the model knows, so its estimate is the end at each of 3 moments"


def test_the_film_from_pictures_begins_at_them(fade, tmp_path):
    model, _ = fade
    with Image.open(reverse_gif(model, tmp_path / "a.gif", 1)) as film:
        frames = [frame.copy() for frame in ImageSequence.Iterator(film)]
    source, end = (tiles(x, 4)[0] for x in (model.source_values[:1], model.source_values[:1] / 2))
    assert near(frames[0], source) == 1 and near(frames[0], end) == 1
    assert near(frames[-1], source) == 0 and near(frames[-1], end) == 2


def test_the_strip_of_a_model_between_two_sets_shows_where_each_sample_began(fade):
    model, data = fade
    picture = condition(model, data, rows=4)
    batch = data.get(torch.arange(4) * 3)
    for x, source in zip(batch["x"], batch["image"], strict=True):
        assert near(picture, tiles(x[None])[0]) == 2, "one sample, since all would be alike, and it is the truth"
        assert near(picture, tiles(source[None])[0]) == 1


def test_the_estimate_of_a_model_between_two_sets_has_its_picture_for_noise(fade):
    model, data = fade
    picture = estimate(model, data, times=[0.2, 0.9], index=5)
    batch = data.get(torch.tensor([5]))
    assert near(picture, tiles(batch["x"])[0]) == 4 and near(picture, tiles(batch["image"])[0]) == 4  # as truth and as estimate, twice


def test_sources_in_turn_are_what_samples_begin_at(fade):
    model, _ = fade
    found = input_pictures(model, 7, {})
    assert list(found) == ["image"] and torch.equal(found["image"], model.source_values[[0, 1, 2, 3, 4, 0, 1]])
    assert torch.allclose(model.sample(7), found["image"] / 2, atol=1e-5)


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


def test_samples_that_would_be_alike_are_refused(fade):
    model, data = fade
    with pytest.raises(Usage, match="2 would be alike"):
        condition(model, data, n=2, rows=4)
