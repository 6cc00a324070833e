import math
from statistics import NormalDist

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from fromnoise.diffusion import SCHEDULES, Cosine, Flow, Karras, Level, Linear, LogitNormal, LogNormal, Shifted, Table
from fromnoise.errors import Usage


def at(schedule, t: float) -> Level:
    return schedule(torch.tensor(t, dtype=torch.float64))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(SCHEDULES)), st.floats(1e-5, 1 - 1e-5), st.floats(0.01, 100))
def test_time_is_the_inverse_of_the_curve_whatever_the_length(name, s, length):
    schedule = SCHEDULES[name]()
    t = torch.tensor([s], dtype=torch.float64)
    if name == "table":  # a staircase: the start of the cell that s lies in
        s = math.floor(s * 1000 + 1e-6) / 1000
    level = schedule.curve(t)
    assert float(schedule.time(Level(level.alpha * length, level.sigma * length))) == pytest.approx(s, abs=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_rises_and_the_last_level_is_clean(name):
    schedule = SCHEDULES[name]()
    for n in (1, 2, 10):
        *levels, last = schedule.levels(n)
        assert last.clean and len(levels) == n
        noise = [float(level.sigma / level.alpha) for level in levels]
        assert all(a > b > 0 for a, b in zip(noise, noise[1:], strict=False))
    with pytest.raises(Usage):
        schedule.levels(0)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "table"])
def test_levels_begin_at_high_and_low_is_the_last_but_the_clean_one(name):
    schedule = SCHEDULES[name](low=0.2, high=0.7)
    *levels, last = schedule.levels(6)
    times = [float(schedule.time(level)) for level in levels]
    assert times == pytest.approx([0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    assert last.clean


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (-0.1, 1), (0, 1.2), (0.8, 0.2)])
def test_low_and_high_are_parts_of_the_curve(low, high):
    with pytest.raises(Usage, match="low < high"):
        Flow(low, high)


def test_flow_is_a_straight_line_and_cosine_a_quarter_circle():
    for t in (0.0, 0.25, 1 / 3, 1.0):
        assert float(at(Flow(), t).alpha) == pytest.approx(1 - t) and float(at(Flow(), t).sigma) == pytest.approx(t)
        assert float(at(Cosine(), t).alpha) == pytest.approx(math.cos(t * math.pi / 2), abs=1e-15)
        assert float(at(Cosine(), t).sigma) == pytest.approx(math.sin(t * math.pi / 2))


def test_linear_is_the_integral_of_its_betas():
    """d log alpha² / dt = -beta(t), beta from 0.1 to 20 (Song et al. 2021), integrated numerically."""
    n = 20_000
    for t in (0.01, 0.3, 1.0):
        integral = sum(0.1 + (i + 0.5) / n * t * 19.9 for i in range(n)) * t / n
        assert float(at(Linear(), t).alpha) ** 2 == pytest.approx(math.exp(-integral), rel=1e-6)
        assert float(torch.hypot(at(Linear(), t).alpha, at(Linear(), t).sigma)) == pytest.approx(1)


def test_linear_is_the_limit_of_ddpms_table():
    fine = Table(steps=100_000, start=1e-6, end=2e-4)
    for t in (0.1, 0.5, 0.9):
        assert float(at(Linear(), t).alpha) == pytest.approx(float(fine.at(round(t * 100_000) - 1).alpha), rel=2e-3)


def test_karras_is_equation_5():
    """sigma_i = (sigma_max^(1/rho) + i/(N-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho, and sigma_N = 0."""
    rho, low, high, n = 7, 0.002, 80, 18
    expected = [(high ** (1 / rho) + i / (n - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho for i in range(n)] + [0]
    levels = Karras().levels(n)
    assert [float(level.sigma) for level in levels] == pytest.approx(expected)
    assert all(float(level.alpha) == 1 for level in levels)


def test_densities_are_quantile_functions():
    for t in (0.001, 0.2, 0.5, 0.9):
        z = NormalDist().inv_cdf(t)
        assert math.log(float(at(LogNormal(), t).sigma)) == pytest.approx(-1.2 + 1.2 * z)
        level = at(LogitNormal(0.0, 1.0, 0.3, 0.8), t)
        assert float(level.sigma) == pytest.approx(1 / (1 + math.exp(-(0.3 + 0.8 * z))))
        assert float(level.alpha + level.sigma) == pytest.approx(1)


@pytest.mark.parametrize("name", ["lognormal", "logitnormal"])
def test_densities_stay_finite_at_their_ends(name):
    for t in (0.0, 1.0):
        level = at(SCHEDULES[name](), t)
        assert math.isfinite(float(level.half_logsnr)) and float(level.sigma) > 0


def test_shifted_is_sd3s_time_shift():
    """t_m = k t / (1 + (k - 1) t) (Esser et al. 2024, eq. 23, with k = sqrt(m / n))."""
    for t in (0.0, 0.1, 0.5, 0.99, 1.0):
        level = at(Shifted(by=3.0), t)
        assert float(level.sigma) == pytest.approx(3 * t / (1 + 2 * t))
        assert float(level.alpha + level.sigma) == pytest.approx(1)


def test_shifted_is_diffusers_flow_shift():
    peer = FlowMatchEulerDiscreteScheduler(shift=3.0)
    t = torch.linspace(1, 1 / 1000, 1000, dtype=torch.float64)
    assert torch.allclose(Shifted(by=3.0)(t).sigma, peer.sigmas.double(), atol=1e-6)


def test_shifted_is_simple_diffusions_log_snr_shift():
    """log SNR of the picture d times as large is shifted by 2 log(1 / d) (Hoogeboom et al. 2023)."""
    for t in (0.1, 0.5, 0.9):
        assert float(at(Shifted(base=Cosine(), by=4.0), t).snr.log()) == pytest.approx(
            float(at(Cosine(), t).snr.log()) + 2 * math.log(1 / 4)
        )


def test_a_shift_is_positive():
    with pytest.raises(Usage, match="positive"):
        Shifted(by=0.0)


@pytest.mark.parametrize("base", [Flow(0.1, 0.9), Table(high=0.8)])
def test_a_shift_of_part_of_a_schedule_starts_where_that_part_does(base):
    noisiest, shifted = at(base, 1.0), at(Shifted(base=base, by=2.0), 1.0)
    assert float(shifted.sigma / shifted.alpha) == pytest.approx(2 * float(noisiest.sigma / noisiest.alpha))


@pytest.mark.parametrize(
    "schedule",
    [Shifted(base=Flow(0.1, 0.9), by=2.0), Shifted(base=Cosine(0.2, 0.7), by=0.5), Shifted(base=Shifted(by=2.0), by=3.0)],
    ids=str,
)
def test_the_time_of_a_shift_is_the_inverse_of_its_curve(schedule):
    t = torch.linspace(0.01, 0.99, 9, dtype=torch.float64)
    assert torch.allclose(schedule.time(schedule.curve(t)), t)
