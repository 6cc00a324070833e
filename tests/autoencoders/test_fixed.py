"""Autoencoders with nothing to train, as first stages by their own names."""

import pytest
import torch

import fromnoise
from fromnoise import editing
from fromnoise.autoencoders import Autoencoder
from fromnoise.errors import Problem, Usage
from fromnoise.model import in_latents
from fromnoise.training.encoding import encode
from fromnoise.training.loop import train
from tests.parts import blobs
from tests.training.test_length import cut_at
from tests.training.test_train import same

NAME = f"{__name__}:Rows"


class Rows(Autoencoder):
    """A picture (1, H, W) <-> its rows as channels, times `by`, the last row left out and one of zeros put in its place: z (H, W) has an axis less."""

    fixed = True

    def __init__(self, height: int, by: float = 3.0):
        super().__init__()
        self.latent, self.by = height, by
        self.register_buffer("kept", torch.ones(height)[:, None].index_fill_(0, torch.tensor([height - 1]), 0))

    @classmethod
    def fitting(cls, shape):
        return {"height": shape[1]}

    def moments(self, x):
        return self.by * self.kept * x[:, 0], None

    def decode(self, z, size=None):
        return (z / self.by)[:, None]

    def latent_shape(self, shape):
        return (shape[1], shape[2])

    def holes(self, mask, size):
        return mask.amax(2)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))


def recipe(autoencoder=NAME, **more):
    own = {"steps": 8, "batch": 16, "evals": 2, "log_every": 4, "warmup": 0, "lr": 1e-3, "held_out": 16}
    return {"data": {"name": "tests.parts:blobs"}, "autoencoder": autoencoder, "network": {"name": "conv", "width": 8, "kernel": 3},
            "conditions": ["label"], "sample": {"name": "ddim", "steps": 2}, "train": own} | more  # fmt: skip


def test_one_with_nothing_to_train_is_a_first_stage_by_its_name(tmp_path):
    """Its latents, of other axes than the examples, have mean 0 and standard deviation 1 together: a row that never changes is no fault of it."""
    run = train(recipe({"name": NAME, "by": 5.0}), tmp_path / "run", trust=True, quiet=True)
    assert run.recipe(trust=True).autoencoder == {"name": NAME, "by": 5.0}
    model = fromnoise.load(run.path, "cpu", trust=True)
    assert model.latent_shape == (8, 8) and model.sample(3, label=1).shape == (3, 1, 8, 8)
    x = blobs().get(torch.arange(256))["x"]
    z = model.autoencoder.moments(x)[0]
    assert torch.allclose(z.mean(), torch.zeros(()), atol=1e-4) and torch.allclose(z.std(), torch.ones(()), atol=1e-3)
    assert torch.allclose(z[:, 1].std() / z[:, 2].std(), x[:, 0, 1].std() / x[:, 0, 2].std()), "channels keep their scales"
    assert torch.allclose(model.decode(z)[:, :, :-1], x[:, :, :-1], atol=1e-5)
    known, mask = x[:1], torch.zeros(1, 1, 8, 8)
    mask[..., 4:] = 1
    assert in_latents(model, known, mask)[1][0, 0].tolist() == [0.0] * 4 + [1.0] * 4
    made = editing.inpaint(model, known, mask, 2, model.sampling, label=1)
    assert torch.equal(made[..., :4], known[..., :4].expand(2, -1, -1, -1))
    with pytest.raises(Problem, match="say trust=True"):
        fromnoise.load(run.path, "cpu")


def test_a_run_of_it_goes_on_bit_for_bit_from_a_cache_of_its_own(tmp_path, monkeypatch):
    train(recipe(), tmp_path / "whole", trust=True, quiet=True)
    cut_at(5, monkeypatch, lambda: train(recipe(), tmp_path / "cut", trust=True, quiet=True))
    monkeypatch.setattr("fromnoise.data.latents._encoded", lambda *_: pytest.fail("the cache has them"))
    train(recipe(), tmp_path / "cut", trust=True, quiet=True)
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_other_settings_have_another_cache_and_a_default_that_is_said_has_not(tmp_path):
    settings = [fromnoise.config.Recipe.of(recipe({"name": NAME, **more})) for more in ({}, {"by": 3.0}, {"by": 2.0})]
    places = [dict(encode(one, "cpu", trust=True))["kept in"] for one in settings]
    assert places[0] == places[1] != places[2]


def test_alone_it_has_nothing_to_train(tmp_path):
    with pytest.raises(Usage, match="has nothing to train: it is the first stage of a network; add one, as in network=dit"):
        train(recipe(network=None, conditions=None, sample=None), tmp_path / "run", quiet=True)


def test_latents_that_are_one_number_are_a_fault_of_the_data(tmp_path):
    with pytest.raises(Problem, match="one number everywhere; check the data"):
        train(recipe({"name": NAME, "by": 1e-9}), tmp_path / "run", trust=True, quiet=True)
