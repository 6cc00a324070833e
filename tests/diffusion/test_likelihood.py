import itertools
import math

import pytest
import torch

from fromnoise.diffusion import Cosine, Flow, Karras, Linear, Table, exact
from fromnoise.diffusion.likelihood import bits_per_dim, log_likelihood
from fromnoise.errors import Usage

X0 = 0.3 + 0.5 * torch.randn(4, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "schedule", [Karras(), Flow(high=0.99), Cosine(high=0.99), Cosine(high=0.999), Linear(), Table()], ids=lambda schedule: type(schedule).__name__
)
def test_the_density_of_a_gaussian(schedule):
    """On average to 1e-2 bits a dimension in 50 steps, two evaluations each, on a schedule's own levels too; the first leaves some noise in x0."""
    expected = torch.distributions.Normal(0.3, 0.5).log_prob(X0).flatten(1).sum(1)
    found = log_likelihood(exact.gaussian(0.3, 0.5), X0, schedule.levels(50), data_std=0.5)
    assert float(found.mean()) == pytest.approx(float(expected.mean()), abs=3 * math.log(2) * 0.01)
    assert torch.allclose(found, expected, atol=0.06)


def test_the_density_of_a_mixture():
    means, stds = torch.tensor([[-1.0], [1.0]]).double(), torch.tensor([0.4, 0.3]).double()
    x0 = torch.tensor([[-1.2], [0.1], [0.9]]).double()
    parts = torch.stack([torch.distributions.Normal(m, s).log_prob(x0[:, 0]) for m, s in zip(means[:, 0], stds, strict=True)])
    expected = parts.logsumexp(0) - math.log(2)
    found = log_likelihood(exact.mixture(means, stds), x0, Karras().levels(80))
    assert torch.allclose(found, expected, atol=0.01)


def test_hutchinsons_estimate_is_right_on_average():
    """The mean over all 2^d probes of ±1 is the exact divergence, whatever the Jacobian."""
    means = torch.randn(3, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    denoise, levels = exact.mixture(means, torch.full((3,), 0.3).double()), Karras().levels(5)
    probes = [torch.tensor(signs).double().expand(4, 3).reshape(4, 1, 3) for signs in itertools.product((-1.0, 1.0), repeat=3)]
    estimates = torch.stack([log_likelihood(denoise, X0, levels, probe) for probe in probes])
    assert estimates.std(0).min() > 1e-4
    assert torch.allclose(estimates.mean(0), log_likelihood(denoise, X0, levels), rtol=1e-9)


def test_bits_of_noise_over_all_bytes():
    """256 values, each as likely, are 8 bits a dimension: density 127.5 / 256 over cells of width 2 / 255."""
    dims = 12
    log_p = torch.tensor([dims * math.log(127.5 / 256)])
    assert float(bits_per_dim(log_p, dims)) == pytest.approx(8)


def test_pure_noise_is_refused():
    with pytest.raises(Usage, match="high to 0.99"):
        log_likelihood(exact.gaussian(), X0, Flow().levels(5))


def test_the_network_is_left_without_gradients():
    layer = torch.nn.Linear(3, 3).double()

    def denoise(x, level):
        x0 = layer(x)
        return x0, level.eps(x, x0)

    value = log_likelihood(denoise, X0, Karras().levels(3))
    assert not value.requires_grad and layer.weight.grad is None
