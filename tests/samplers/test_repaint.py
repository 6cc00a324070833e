"""Inpainting of a Gaussian whose pixels are correlated, so that the unknown one's law is known: N(rho k, 1 - rho²)."""

import math

import pytest
import torch

from fromnoise.diffusion import Cosine, Flow, Level, inpainted
from fromnoise.errors import Usage
from fromnoise.samplers import repaint, walk

RHO, KNOWN = 0.8, 1.2
COVARIANCE = torch.tensor([[1.0, RHO], [RHO, 1.0]]).double()
MASK = torch.tensor([[0.0, 1.0]])


def correlated(x, level):
    """E[x0 | x] = alpha C (alpha² C + sigma² I)^-1 x."""
    x0 = level.alpha * torch.linalg.solve(level.alpha**2 * COVARIANCE + level.sigma**2 * torch.eye(2).double(), x.T).T @ COVARIANCE
    return x0, level.eps(x, x0)


def randn(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, dtype=x.dtype, generator=generator)


def unknown(sampler, n=4000, steps=60, known=KNOWN, **options):
    denoise = inpainted(correlated, torch.tensor([[known, 0.0]]).double(), MASK)
    x = walk(sampler, denoise, randn(0)(torch.empty(n, 2).double()), Cosine().levels(steps), **options)
    assert torch.allclose(x[:, 0], torch.tensor(known).double(), atol=1e-12)
    return x[:, 1]


def test_repaint_draws_the_unknown_part_given_the_known():
    x = unknown("repaint", steps=60, jumps=20, length=10, randn=randn(1))
    assert float(x.mean()) == pytest.approx(RHO * KNOWN, abs=0.05)
    assert float(x.std()) == pytest.approx(math.sqrt(1 - RHO**2), abs=0.04)


def test_more_jumps_agree_better():
    apart = [abs(float(unknown("repaint", jumps=jumps, length=10, randn=randn(1)).mean()) - RHO * KNOWN) for jumps in (1, 3, 10)]
    assert apart[0] > 2 * apart[1] > 4 * apart[2]


def test_replacement_alone_falls_short_by_as_much_as_its_ode_says():
    """In frame ve the mean m of the unknown pixel obeys dm/ds = s ((1 + s²) m - rho k) / D, D = (1 + s²)² - rho², with m = 0 at infinity.

    Its solution is m(0) = (1 - rho²)^(1/4) rho k / 2 ∫_1^∞ (u² - rho²)^(-5/4) du, less than rho k: replacement is biased to the middle.
    """
    w = (torch.arange(200_000).double() + 0.5) / 200_000  # u = 1 / w
    integral = float(((1 / w**2 - RHO**2) ** -1.25 / w**2).mean())
    expected = (1 - RHO**2) ** 0.25 * RHO * KNOWN / 2 * integral
    assert expected < 0.8 * RHO * KNOWN
    assert float(unknown("ddim", steps=400).mean()) == pytest.approx(expected, abs=0.04)
    assert float(unknown("dpmpp_2m", steps=100).mean()) == pytest.approx(expected, abs=0.04)


def test_one_jump_is_ddpm():
    x, levels = torch.randn(5, 2).double(), Cosine().levels(12)
    assert torch.equal(
        *(walk(name, correlated, x, levels, randn=randn(0), **own) for name, own in (("repaint", {"jumps": 1}), ("ddpm", {})))
    )


def test_the_schedule_is_that_of_the_papers_code():
    """Lugmayr et al. 2022, appendix: get_schedule_jump with t_T = 25, jump_length = 10, jump_n_sample = 3; which times are denoised, in order."""
    t_T, jump_length, jump_n_sample = 25, 10, 3
    jumps = {j: jump_n_sample - 1 for j in range(0, t_T - jump_length, jump_length)}
    t, expected = t_T, []
    while t >= 1:
        expected.append(t)
        t -= 1
        if jumps.get(t, 0) > 0:
            jumps[t] -= 1
            t += jump_length
    times, levels = [], Flow().levels(25)

    def watch(x, level):
        times.append(round(25 * float(level.sigma)))
        return correlated(x, level)

    assert len(list(repaint(watch, torch.randn(1, 2).double(), levels, jumps=3, length=10))) == 25
    assert times == expected


@pytest.mark.parametrize("options", [{"jumps": 0}, {"length": 0}, {"jumps": 1.5}, {"length": float("nan")}])
def test_jumps_and_lengths_are_whole(options):
    with pytest.raises(Usage, match="whole numbers from 1"):
        walk("repaint", correlated, torch.randn(1, 2).double(), Cosine().levels(4), **options)


def test_inpainting_holds_what_is_known_in_x0_and_still_makes_x():
    x, level = torch.randn(6, 1, 4, 4), Level(torch.tensor(0.6).double(), torch.tensor(0.8).double())
    known, mask = torch.rand(6, 1, 4, 4), (torch.rand(1, 1, 4, 4) > 0.5).float()
    halved = lambda x, level: (x / 2, level.eps(x, x / 2))  # noqa: E731
    x0, eps = inpainted(halved, known, mask)(x, level)
    assert torch.equal(x0, torch.where(mask.bool(), x / 2, known)) and torch.allclose(level.mix(x0, eps), x, atol=1e-6)
