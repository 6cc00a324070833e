"""Orders of convergence, against the exact map of the probability-flow ODE: on a line it keeps every point's quantile."""

import math

import pytest
import torch

from fromnoise.diffusion import SCHEDULES, Level, Table, exact
from fromnoise.samplers import ORDER, SAMPLERS, walk

MEANS, STDS = torch.tensor([[-0.5], [0.7]]).double(), torch.tensor([0.3, 0.2]).double()
DENOISE = exact.mixture(MEANS, STDS)


def quantile(x, level):
    spread = (level.alpha**2 * STDS**2 + level.sigma**2).sqrt()
    return torch.special.ndtr((x - level.alpha * MEANS[:, 0]) / spread).mean(-1, keepdim=True)


def carried(x, start, end):
    """The point of the same quantile at the end, by bisection."""
    wanted = quantile(x, start)
    low, high = torch.full_like(x, -1e3), torch.full_like(x, 1e3)
    for _ in range(80):
        middle = (low + high) / 2
        under = quantile(middle, end) < wanted
        low, high = torch.where(under, middle, low), torch.where(under, high, middle)
    return low


def error(sampler, levels, **options) -> float:
    start = levels[0]
    x = torch.linspace(-2, 2, 9).double()[:, None] * (start.alpha**2 / 4 + start.sigma**2).sqrt()
    return float((walk(sampler, DENOISE, x, levels, **options) - carried(x, start, levels[-1])).abs().max())


def noise(ratio: float) -> Level:
    return Level(torch.tensor(1.0).double(), torch.tensor(ratio).double())


def grid(schedule, n):
    """n + 1 levels, even on the schedule's own curve, from sigma / alpha = 6 to 0.15."""
    if isinstance(schedule, Table):  # even in its index
        return [schedule.at(index) for index in range(900, 19, -(880 // n))]
    ends = [float(schedule.time(noise(ratio))) for ratio in (6.0, 0.15)]
    return [schedule.curve(t) for t in torch.linspace(*ends, n + 1).double()]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", ORDER)
def test_order_of_convergence(sampler, schedule):
    coarse, fine = (error(sampler, grid(SCHEDULES[schedule](), n)) for n in (88, 176))
    assert fine < 0.03 / ORDER[sampler] ** 4
    assert math.log2(coarse / fine) > ORDER[sampler] - 0.35


def slow_start(n):
    """Levels whose first steps in lambda are short, so that the first orders at the start cost little."""
    lam = -2 + 4 * torch.linspace(0, 1, n + 1).double() ** 2
    alpha = torch.sigmoid(2 * lam).sqrt()
    return [Level(a, (1 - a * a).sqrt()) for a in alpha]


@pytest.mark.parametrize(
    ("sampler", "options", "order"), [("dpmpp_3m", {"curvature": 2.0}, 3), ("dpmpp_3m", {}, 2), ("unipc", {}, 3), ("dpmpp_2m", {}, 2)]
)
def test_order_of_the_multistep_solvers_past_their_start(sampler, options, order):
    coarse, fine = (error(sampler, slow_start(n), **options) for n in (80, 160))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.2)


def test_every_sampler_without_an_order_is_random():
    x = torch.ones(3, 1).double()
    for name in set(SAMPLERS) - set(ORDER):
        assert not torch.equal(*(walk(name, DENOISE, x, grid(SCHEDULES["flow"](), 8)) for _ in range(2)))
