import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fromnoise.diffusion import Level, Table

weights = st.floats(0.01, 50)
FAST = settings(max_examples=50, deadline=None)


def level(alpha: float, sigma: float) -> Level:
    return Level(torch.tensor(alpha, dtype=torch.float64), torch.tensor(sigma, dtype=torch.float64))


ONE, ZERO = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)


def test_single_steps_of_a_table_are_those_of_the_paper():
    """q(x_t | x_t-1) = N(sqrt(1 - beta_t) x_t-1, beta_t) (Ho et al. 2020, eq. 2)."""
    table, beta = Table(), torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    for t in (1, 2, 500, 999):
        here, there = table.at(t - 1), table.at(t)
        assert float(there.noisier(ONE, here, ZERO)) == pytest.approx(float((1 - beta[t]).sqrt()), rel=1e-10)
        assert float(there.noisier(ZERO, here, ONE)) == pytest.approx(float(beta[t].sqrt()), rel=1e-10)


@pytest.mark.parametrize("betas", ["linear", "cosine", "sigmoid"])
def test_a_thousand_single_steps_are_the_jump(betas):
    table = Table(betas=betas)
    mean, variance = ONE, ZERO
    now = level(1.0, 0.0)
    for t in range(1000):
        then = table.at(t)
        mean = then.noisier(mean, now, ZERO)
        variance = then.noisier(ZERO, now, ONE).square() + then.noisier(variance.sqrt(), now, ZERO).square()
        now = then
    jump_mean, jump_std = table.at(999).mix(ONE, ZERO), table.at(999).mix(ZERO, ONE)
    assert torch.allclose(mean, jump_mean, rtol=1e-9)
    assert torch.allclose(variance.sqrt(), jump_std, rtol=1e-9)


def test_a_simulated_chain_has_the_mean_and_variance_of_the_jump():
    table, n = Table(), 10_000
    generator = torch.Generator().manual_seed(0)
    x, now = torch.full((n,), 1.5), level(1.0, 0.0)
    for t in range(400):
        then = table.at(t)
        x, now = then.noisier(x, now, torch.randn(n, generator=generator)), then
    abar = float((1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)[:400]).prod())
    std = math.sqrt(1 - abar)
    assert float(x.mean()) == pytest.approx(1.5 * math.sqrt(abar), abs=4 * std / math.sqrt(n))
    assert float(x.std()) == pytest.approx(std, rel=4 / math.sqrt(2 * n))


@FAST
@given(st.lists(st.floats(0.01, 50), min_size=3, max_size=3, unique=True), weights, weights, weights)
def test_two_steps_up_are_one(ratios, a, b, c):
    """Whatever the frames of the levels between: the sizes of noise add in squares."""
    near, middle, far = (level(length, length * r) for length, r in zip((a, b, c), sorted(ratios), strict=True))
    mean = far.noisier(middle.noisier(ONE, near, ZERO), middle, ZERO)
    variance = far.noisier(middle.noisier(ZERO, near, ONE), middle, ZERO).square() + far.noisier(ZERO, middle, ONE).square()
    assert torch.allclose(mean, far.noisier(ONE, near, ZERO), rtol=1e-9)
    assert torch.allclose(variance.sqrt(), far.noisier(ZERO, near, ONE), rtol=1e-6)


@FAST
@given(weights, weights)
def test_frames_fix_their_length_and_keep_the_ray(alpha, sigma):
    here = level(alpha, sigma)
    lengths = {"ve": lambda f: f.alpha, "vp": lambda f: (f.alpha**2 + f.sigma**2).sqrt(), "rf": lambda f: f.alpha + f.sigma}
    for frame, length in lengths.items():
        framed = here.framed(frame)
        assert float(length(framed)) == pytest.approx(1)
        assert float(framed.sigma / framed.alpha) == pytest.approx(sigma / alpha)
        assert float(framed.half_logsnr) == pytest.approx(math.log(alpha / sigma), abs=1e-12)
        assert float(framed.snr) == pytest.approx((alpha / sigma) ** 2)


def test_a_blend_is_taken_apart_sample_by_sample():
    x0, eps = torch.randn(2, 3, 2, 4, 5, dtype=torch.float64)
    here = Level(torch.tensor([0.9, 0.5, 0.1]).double(), torch.tensor([0.1, 0.5, 2.0]).double())
    x = here.mix(x0, eps)
    assert torch.allclose(x[2], 0.1 * x0[2] + 2.0 * eps[2], atol=1e-6)  # 0.1 came by way of float32
    assert torch.allclose(here.eps(x, x0), eps)
    assert here.mix(x0.float(), eps.float()).dtype == torch.float32


def test_only_a_level_without_any_noise_is_clean():
    assert level(1.0, 0.0).clean and not level(1.0, 1e-9).clean
    assert not Level(torch.ones(2), torch.tensor([0.0, 0.1])).clean
