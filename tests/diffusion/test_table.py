import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from fromnoise.diffusion import BETAS, Level, Table
from fromnoise.errors import Usage


@pytest.mark.parametrize(("betas", "last"), [("linear", 4.036e-5), ("cosine", 2.43e-9), ("quadratic", 7.33e-4), ("sigmoid", 3.97e-5)])
def test_what_is_left_of_the_data_after_a_thousand_steps(betas, last):
    assert float(Table(betas=betas).alphas_cumprod[-1]) == pytest.approx(last, rel=2e-3)


def test_cosine_is_the_formula_of_the_paper_up_to_its_clip():
    """alpha-bar_t = f(t) / f(0), f(t) = cos²((t/T + s) / (1 + s) pi/2) (Nichol & Dhariwal 2021, eq. 17), betas at most 0.999."""
    f = [math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(1001)]
    ours = Table(betas="cosine").alphas_cumprod
    for t in (1, 2, 10, 500, 998, 999):
        assert float(ours[t - 1]) == pytest.approx(f[t] / f[0], rel=1e-9)
    assert float(ours[999]) == pytest.approx(f[999] / f[0] * 0.001, rel=1e-9)  # where the formula alone ends at 0


def test_closed_forms_of_the_other_betas():
    i = np.arange(1000) / 999
    assert np.allclose(BETAS["quadratic"](1000, 1e-4, 0.02), (0.01 + i * (0.02**0.5 - 0.01)) ** 2, rtol=1e-12)
    assert np.allclose(BETAS["sigmoid"](1000, 1e-4, 0.02), 1e-4 + 0.0199 / (1 + np.exp(6 - 12 * i)), rtol=1e-12)
    assert np.allclose(BETAS["sqrt_linear"](1000, 1e-4, 0.02), np.sqrt(1e-4 + i * 0.0199), rtol=1e-12)


@pytest.mark.parametrize(
    ("betas", "theirs", "start", "end"),
    [
        ("linear", "linear", 1e-4, 0.02),
        ("scaled_linear", "scaled_linear", 0.00085, 0.012),
        ("cosine", "squaredcos_cap_v2", 0, 0),
        ("sigmoid", "sigmoid", 1e-4, 0.02),
    ],
)
def test_tables_are_those_of_diffusers(betas, theirs, start, end):
    peer = DDPMScheduler(beta_schedule=theirs, beta_start=start, beta_end=end)
    # theirs are products in float32
    assert torch.allclose(Table(betas=betas, start=start, end=end).alphas_cumprod.float(), peer.alphas_cumprod, rtol=2e-4, atol=2e-7)


@pytest.mark.parametrize("n", [2, 7, 50, 999])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_spacings_are_those_of_diffusers(spacing, n):
    peer = DDIMScheduler(timestep_spacing=spacing)
    peer.set_timesteps(n)
    table = Table(spacing=spacing)
    *levels, last = table.levels(n)
    assert [round(float(table.index(level))) for level in levels] == peer.timesteps.tolist()
    assert last.clean


@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
def test_one_step_is_taken_from_the_noisiest_level(spacing):
    table = Table(spacing=spacing)
    noisiest, last = table.levels(1)
    assert float(table.index(noisiest)) == 999 and last.clean


def test_leading_with_an_offset_is_stable_diffusions_grid():
    peer = DDIMScheduler(timestep_spacing="leading", steps_offset=1, set_alpha_to_one=False)
    peer.set_timesteps(50)
    table = Table(offset=1, final_one=False)
    *levels, last = table.levels(50)
    assert [round(float(table.index(level))) for level in levels] == peer.timesteps.tolist()
    assert torch.equal(last.sigma, table.at(0).sigma)


def test_scaled_linear_is_stable_diffusions_unless_said():
    """Its scheduler_config.json: beta_start 0.00085, beta_end 0.012, of which alpha-bar ends at 0.0047."""
    assert float(Table(betas="scaled_linear").alphas_cumprod[-1]) == pytest.approx(0.00466, rel=2e-3)
    assert (Table().start, Table().end) == (1e-4, 0.02) and Table(betas="scaled_linear", end=0.02).end == 0.02
    assert Table() == Table(start=1e-4, end=0.02)


def test_quadratic_spacing_is_that_of_ddims_cifar_runs():
    """tau = (c i)², from 0 to 0.8 of the table (Song et al. 2021, appendix D.2)."""
    expected = [int(s) for s in np.linspace(0, math.sqrt(800), 50) ** 2][::-1]
    table = Table(spacing="quadratic")
    found = [round(float(table.index(level))) for level in table.levels(50)[:-1]]
    assert found == sorted(set(expected), reverse=True)
    assert found[0] - found[1] > 10 * (found[-3] - found[-2])  # not uniform


@pytest.mark.parametrize("betas", sorted(BETAS))
def test_index_is_exact_on_the_table_in_any_frame(betas):
    table = Table(betas=betas, steps=1000, end=0.02)
    every = torch.arange(1000)
    level = table.at(every)
    for frame in ("ve", "vp", "rf"):
        assert torch.allclose(table.index(level.framed(frame)), every.double(), atol=1e-5)


def test_index_between_two_entries_is_linear_in_log_snr_and_ends_at_the_ends():
    table = Table()
    a, b = table.at(300), table.at(301)
    between = Level((0.25 * a.half_logsnr + 0.75 * b.half_logsnr).exp(), torch.ones((), dtype=torch.float64))
    assert float(table.index(between)) == pytest.approx(300.75)
    pure, clean = (Level(torch.tensor(x).double(), torch.tensor(1 - x).double()) for x in (0.0, 1.0))
    assert float(table.index(pure)) == 999 and float(table.index(clean)) == 0


def test_uniform_times_draw_every_index_equally_often():
    table = Table(steps=40)
    t = (torch.arange(4000).double() + 0.5) / 4000
    assert torch.equal(table.index(table(t)).round().long().bincount(), torch.full((40,), 100))


def test_custom_betas_by_a_function():
    """Even in a product of ten: 0.9^i."""
    table = Table(betas=lambda n, start, end: torch.full((n,), 0.1, dtype=torch.float64), steps=10)
    assert torch.allclose(table.alphas_cumprod, 0.9 ** torch.arange(1, 11).double())


@pytest.mark.parametrize("n", [1, 3, 999, 1000])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_levels_never_repeat(n, offset):
    sigmas = [float(level.sigma) for level in Table(offset=offset).levels(n)]
    assert all(a > b for a, b in zip(sigmas, sigmas[1:], strict=False))


def test_part_of_a_table():
    table = Table(low=0.1, high=0.5, spacing="trailing")
    *levels, _ = table.levels(40)
    index = [round(float(table.index(level))) for level in levels]
    assert index[0] == 499 and index[-1] == 109


@pytest.mark.parametrize(
    "settings", [{"betas": "lineer"}, {"spacing": "trailin"}, {"steps": 1}, {"steps": 0}, {"low": 0.5, "high": 0.4}, {"high": 1.1}]
)
def test_what_cannot_be_a_table(settings):
    with pytest.raises(Usage):
        Table(**settings)


@pytest.mark.parametrize(("table", "n"), [(Table(), 0), (Table(), 1001), (Table(high=0.5), 501)])
def test_steps_that_a_table_does_not_have(table, n):
    with pytest.raises(Usage, match=r"1 to (1000|500)"):
        table.levels(n)


def test_betas_may_be_given_one_by_one():
    given = Table(betas=[0.1, 0.2, 0.5], steps=3)
    assert given.alphas_cumprod.tolist() == pytest.approx([0.9, 0.72, 0.36])
    for wrong in ([0.1, 0.2], [0.1, 0.2, 1.5]):
        with pytest.raises(Usage, match="betas are 3 numbers"):
            Table(betas=wrong, steps=3)


def test_karras_levels_lie_between_the_ends_of_the_spacing():
    """sigma_i = (max^(1/7) + i / (n - 1) (min^(1/7) - max^(1/7)))^7 (Karras et al. 2022, eq. 5), ends included."""
    plain, spaced = Table(spacing="trailing").levels(5), Table(spacing="trailing", rho=7.0).levels(5)
    high, low = (float(plain[i].sigma / plain[i].alpha) for i in (0, 4))
    expected = [(high ** (1 / 7) + i / 4 * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for i in range(5)]
    assert [float(level.sigma / level.alpha) for level in spaced[:-1]] == pytest.approx(expected) and spaced[-1].clean
    with pytest.raises(Usage, match="rho is 0 or more"):
        Table(rho=-1.0)


def test_levels_between_those_of_the_table_know_their_index_or_the_nearest():
    index = torch.tensor([0.0, 0.25, 371.75, 998.5, 999.0], dtype=torch.float64)
    assert torch.allclose(Table().index(Table().at(index)), index, atol=1e-6)
    assert torch.allclose(1000 * Table(whole=True).time(Table().at(index)), torch.tensor([0.0, 0.0, 372.0, 998.0, 999.0]).double())
