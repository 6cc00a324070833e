"""The likelihood of Gaussian data under its exact denoiser is the entropy, known in closed form."""

import math

import pytest
import torch
from torch import nn

from fromnoise.data import Tensors
from fromnoise.diffusion import SCHEDULES, Cosine, Denoiser, Flow, Gaussian, Karras, exact
from fromnoise.errors import Usage
from fromnoise.evaluation import likelihood
from fromnoise.model import Model, Sampling
from tests.parts import built

STD = 0.25
ENTROPY = math.log2(STD * math.sqrt(2 * math.pi * math.e))  # bits a dimension
FINE = Sampling("ddim", 60, schedule=Karras())


class Exact(Denoiser):
    """The denoiser of N(mean, STD² I); the mean is the first number of the context, 0 without."""

    def __init__(self):
        super().__init__(nn.Linear(1, 1), data_std=STD)

    def forward(self, x, level, context=None):
        vector = getattr(context, "vector", None)
        mean = 0.0 if vector is None else vector[:, 0].reshape(-1, *[1] * (x.ndim - 1))
        return exact.gaussian(mean, STD)(x, level)


def normal(n, *shape, mean=0.0):
    return mean + STD * torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("schedule", [Karras(), Cosine(high=0.99)])
def test_points_have_their_entropy(schedule):
    """A mean of -log2 p / D over n points, whose standard error is sqrt(D / 2) / (D ln 2 sqrt(n))."""
    n, model, sampling = 2000, Model(Exact(), Cosine(), (2,)), Sampling("ddim", 60, schedule=schedule)
    found = likelihood(model, Tensors("normal", normal(n, 2)), n, sampling)
    assert found.error == pytest.approx(1 / (2 * math.log(2) * math.sqrt(n)), rel=0.1)
    assert found.bits_per_dim == pytest.approx(ENTROPY, abs=4 * found.error) and "exact divergence" in found.protocol
    assert found == likelihood(model, Tensors("normal", normal(n, 2)), 5000, sampling)  # all there are


def test_pictures_have_their_entropy_in_levels():
    """Cells of width 2 / 255 lie below the density; their noise, 1/12 of a cell's square, is nothing beside it."""
    n, model = 400, Model(Exact(), Karras(), (1, 4, 4))
    data = Tensors("normal", normal(n, 1, 4, 4))
    one, exactly = likelihood(model, data, n, FINE), likelihood(model, data, n, FINE, probes=0)
    assert exactly.bits_per_dim == pytest.approx(ENTROPY + math.log2(127.5), abs=4 * exactly.error)
    assert one.bits_per_dim == pytest.approx(exactly.bits_per_dim, abs=1e-3)  # a Gaussian's Jacobian is diagonal: a probe is exact
    assert "1 probe an example" in one.protocol
    batched = likelihood(model, data, n, Sampling("ddim", 60, schedule=Karras(), batch=33))
    assert batched.bits_per_dim == pytest.approx(one.bits_per_dim, abs=1e-5)  # noise goes by example
    assert likelihood(model, data, n, FINE, seed=1).bits_per_dim != one.bits_per_dim


def test_examples_are_measured_under_their_own_conditions():
    """Two classes around -1 and 1: told the class, each has the entropy of one Gaussian."""
    label = torch.arange(1000) % 2
    data = Tensors("two", normal(1000, 2) + (2.0 * label - 1)[:, None], label)
    model = built({"network": "mlp", "conditions": ["label"]}, (2,), data.classes)
    with torch.no_grad():
        model.conditions["label"].embed.weight[:2, 0] = torch.tensor([-1.0, 1.0])
    model.denoiser = Exact()
    found = likelihood(model, data, 1000, FINE)
    assert found.bits_per_dim == pytest.approx(ENTROPY, abs=4 * found.error)
    guided = Sampling("ddim", 60, schedule=Karras(), guidance=3.0, clip="static")
    assert likelihood(model, data, 1000, guided) == found  # the model's own, however it is drawn from


def test_it_leaves_the_model_as_it_was():
    model = Model(Exact(), Karras(), (2,)).train()
    model.denoiser.autocast = torch.bfloat16
    assert "bits/dim of 9 held-out" in likelihood(model, Tensors("normal", normal(9, 2)), 9, Sampling(steps=3)).lines()[0]
    assert model.training and model.denoiser.autocast is torch.bfloat16


@pytest.mark.parametrize("probes", [0, 2])
def test_every_evaluation_of_the_network_is_told(probes):
    """9 examples in batches of 4 are three walks of 3 steps, and one of 1 step; two evaluations a step, for each probe."""
    seen = []
    sampling = Sampling(steps=3, batch=4)
    likelihood(Model(Exact(), Karras(), (2,)), Tensors("normal", normal(9, 2)), 9, sampling, probes, progress=lambda *counts: seen.append(counts))
    total = 2 * (3 * 3 + 1) * max(probes, 1)
    assert seen == [(i, total) for i in range(total)]


def test_what_has_no_likelihood_is_refused():
    data = Tensors("normal", normal(9, 2))
    with pytest.raises(Usage, match="standard normal noise"):
        likelihood(Model(Exact(), Karras(), (2,), source=Gaussian(0.1)), data, 9, Sampling())
    with pytest.raises(Usage, match="at least 2 examples"):
        likelihood(Model(Exact(), Karras(), (2,)), data, 1, Sampling())
    with pytest.raises(Usage, match="2 steps"):
        likelihood(Model(Exact(), Karras(), (2,)), data, 9, Sampling(steps=1))


EVERY = {**{name: kind() for name, kind in SCHEDULES.items()}, "cosine 0.999": Cosine(high=0.999), "flow 0.99": Flow(high=0.99), "far": Karras(sigma_max=5000)}


@pytest.mark.parametrize("data_std", [STD, 1.0])
@pytest.mark.parametrize("name", EVERY)
def test_at_100_evaluations_bits_are_right_to_a_hundredth_on_every_schedule(name, data_std):
    """50 steps of Heun's method on each example of a Gaussian, whose density is known; the spread that the model is told may be another."""
    x0 = normal(64, 2)
    truth = -torch.distributions.Normal(0, STD).log_prob(x0.double()).mean().item() / math.log(2)
    model = Model(Exact(), EVERY[name], (2,))
    model.denoiser.data_std = data_std
    found = likelihood(model, Tensors("normal", x0), 64, Sampling(steps=50))
    assert found.bits_per_dim == pytest.approx(truth, abs=1e-2)


def test_the_error_that_the_steps_leave_is_stated():
    """Two narrow heaps, of which Heun's method in few steps makes too much or too little: the statement is of the right size."""
    means, stds = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.tensor([0.2, 0.1])
    x0 = means[torch.arange(200) % 2] + stds[torch.arange(200) % 2, None] * torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    parts = [torch.distributions.Normal(m, s).log_prob(x0).sum(1) for m, s in zip(means, stds, strict=True)]
    truth = -(torch.stack(parts).logsumexp(0) - math.log(2)).mean().item() / (2 * math.log(2))
    model = Model(Exact(), Karras(), (2,))
    model.denoiser.data_std = 1.0
    model.denoiser.forward = lambda x, level, context=None: exact.mixture(means, stds)(x, level)
    for steps in (20, 40):
        found = likelihood(model, Tensors("two", x0), 200, Sampling(steps=steps))
        assert 0.4 < found.step_error / abs(found.bits_per_dim - truth) < 2.5, steps
        assert f"{found.step_error:.1g}" in found.lines()[0]
