"""Inversion of known denoisers: it comes back, and the noise that it finds is the probability-flow ODE's."""

import math

import pytest
import torch

from fromnoise.diffusion import Cosine, Flow, Karras, Linear, exact
from fromnoise.samplers import invert, stepper, walk

MEAN, STD = 0.3, 0.5
GAUSSIAN = exact.gaussian(MEAN, STD)
X = MEAN + STD * torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
SCHEDULES = {"cosine": Cosine(), "flow": Flow(), "linear": Linear(), "karras": Karras(sigma_min=0.01)}


def up(denoise, x, levels, **options):
    *_, (x, _) = invert(denoise, x, levels, **options)
    return x


def there_and_back(denoise, x, levels, **options) -> float:
    return float((walk("ddim", denoise, up(denoise, x, levels, **options), levels) - x).abs().max())


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_gaussian_comes_back(name):
    levels = SCHEDULES[name].levels(50)
    assert there_and_back(GAUSSIAN, X, levels, iterations=1) < 0.1
    assert there_and_back(GAUSSIAN, X, levels, iterations=5) < 1e-6


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_more_steps_come_back_closer_with_an_order_for_each_iteration(iterations):
    """Each iteration takes a factor h off a step's error, which begins at order h: after n steps it is of order h^k at least."""
    errors = [there_and_back(GAUSSIAN, X, Cosine().levels(n), iterations=iterations) for n in (50, 100)]
    assert math.log2(errors[0] / errors[1]) > iterations - 0.1


def test_enough_iterations_are_exact():
    mixture = exact.mixture(torch.tensor([[-0.5, 0.0], [0.7, 0.4]]).double(), torch.tensor([0.3, 0.2]).double())
    assert there_and_back(mixture, torch.randn(30, 2).double() / 2, Cosine().levels(60), iterations=60) < 1e-9


def test_the_noise_is_the_odes():
    """Of a Gaussian the ODE maps x0 to (x0 - mean) / std; DDIM's first-order error falls as the steps grow."""
    errors = [float((up(GAUSSIAN, X, Cosine().levels(n), iterations=8) - (X - MEAN) / STD).abs().max()) for n in (50, 100, 200)]
    assert errors[2] < 0.03 and all(math.log2(a / b) > 0.7 for a, b in zip(errors, errors[1:], strict=False))


def test_a_single_step_is_ddims_backwards():
    """y such that alpha_x x0(y) + sigma_x eps(y) = x, for one step of the middle of the walk, in any frame."""
    now, nxt = Cosine()(torch.tensor(0.5)), Cosine()(torch.tensor(0.4))
    for frame in ("ve", "vp", "rf"):
        levels = [now.framed(frame), nxt.framed(frame)]
        y = list(invert(GAUSSIAN, X, levels, iterations=80))[0][0]
        assert torch.allclose(next(stepper("ddim")(GAUSSIAN, y, levels))[0], X, atol=1e-10)


def test_every_step_is_handed_out():
    assert len(list(invert(GAUSSIAN, X, Cosine().levels(7)))) == 7
