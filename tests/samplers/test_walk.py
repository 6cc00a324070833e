import math

import pytest
import torch

from fromnoise.diffusion import PREDICT, SCHEDULES, Cosine, Flow, Level, Seeded, Table, exact, predict
from fromnoise.errors import Usage
from fromnoise.samplers import ORDER, SAMPLERS, stepper, walk

MEAN, STD = 0.3, 0.5
GAUSSIAN = exact.gaussian(MEAN, STD)


def drawn(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, dtype=x.dtype, generator=generator)


def noise_option(name, seed: int = 0):
    return {} if name in ORDER and name != "edm" else {"randn": drawn(seed)}


def start(level: Level, n: int) -> torch.Tensor:
    """Even quantiles of the exact marginal, so that only the walk can err."""
    z = torch.special.ndtri((torch.arange(n).double() + 0.5) / n)[torch.randperm(n, generator=torch.Generator().manual_seed(1))]
    return (level.alpha * MEAN + (level.alpha**2 * STD**2 + level.sigma**2).sqrt() * z)[:, None]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_on_every_schedule_draws_the_data(sampler, schedule):
    # many start at alpha = 0; training densities are cut, for their outermost levels lie far apart
    ends = {"low": 0.005, "high": 0.995} if schedule in ("lognormal", "logitnormal") else {}
    levels = SCHEDULES[schedule](**ends).levels(120)
    samples = walk(sampler, GAUSSIAN, start(levels[0], 1000), levels, **noise_option(sampler))
    assert float(samples.mean()) == pytest.approx(MEAN, abs=4 * STD / math.sqrt(1000) + 0.01)
    assert float(samples.std()) == pytest.approx(STD, abs=0.075)  # first order leaves some 0.03, and chance 0.01


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_the_network_predicts_changes_nothing(sampler, schedule):
    for kind in PREDICT:
        levels = SCHEDULES[schedule](high=0.99 if kind == "eps" else 1.0).levels(5)

        def denoise(x, level, kind=kind):
            return predict.solve(kind, level, x, predict.target(kind, level, *GAUSSIAN(x, level)))

        x = start(levels[0], 20)
        found, expected = (walk(sampler, d, x, levels, **noise_option(sampler)) for d in (denoise, GAUSSIAN))
        assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_few_steps_work_and_one_is_the_denoisers_own_answer(sampler, steps):
    x, levels = torch.randn(4, 3, dtype=torch.float64), Flow().levels(steps)
    path = list(stepper(sampler)(GAUSSIAN, x, levels))
    assert len(path) == steps and all(torch.isfinite(part).all() for step in path for part in step)
    if steps == 1:
        assert torch.allclose(path[0][0], GAUSSIAN(x, levels[0])[0])


@pytest.mark.parametrize("table", [Table(final_one=False), Table(offset=1), Table(offset=1, final_one=False), Table(steps=10)], ids=str)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_grids_that_end_at_a_tables_index_0_or_use_all_of_it(sampler, table):
    for n in (10, table.steps):
        assert torch.isfinite(walk(sampler, GAUSSIAN, torch.randn(3, 2), table.levels(n))).all()
        if table.steps == 1000 and sampler not in ("dpmpp_2m", "dpmpp_3m", "unipc"):
            break  # a thousand steps are for those that divide by the length of a step


def test_ddpm_draws_a_mixture_in_a_thousand_steps():
    """The exact score: B1's oracle. Weights, means and spreads of both parts, within four standard errors."""
    means, stds, share, n = (
        torch.tensor([[-1.0], [0.8]]).double(),
        torch.tensor([0.1, 0.3]).double(),
        torch.tensor([0.3, 0.7]).double(),
        3000,
    )
    denoise = exact.mixture(means, stds, share)
    table = Table()
    for large in (False, True):
        x = walk("ddpm", denoise, drawn(1)(torch.empty(n, 1).double()), table.levels(1000), large=large, randn=drawn(2))[:, 0]
        left = x < -0.55
        assert float(left.double().mean()) == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / n))
        for part, mean, std, size in ((x[left], -1.0, 0.1, 0.3 * n), (x[~left], 0.8, 0.3, 0.7 * n)):
            assert float(part.mean()) == pytest.approx(mean, abs=4 * std / math.sqrt(size))
            assert float(part.std()) == pytest.approx(std, rel=4 / math.sqrt(2 * size) + 0.02)


def test_fifty_steps_of_ddim_are_close_to_a_thousand():
    denoise, table = exact.mixture(torch.tensor([[-0.5], [0.7]]).double(), torch.tensor([0.3, 0.2]).double()), Table(spacing="trailing")
    x = torch.linspace(-2, 2, 41).double()[:, None]
    few, many = (walk("ddim", denoise, x, table.levels(n)) for n in (50, 1000))
    assert float((few - many).abs().mean()) < 0.03 < float((many - x).abs().mean())


def one_step_std(sampler: str, now: Level, nxt: Level, **options) -> float:
    """What one step adds in noise, from its answers to z = 1 and z = -1."""
    x = torch.full((1, 1), 0.7, dtype=torch.float64)
    up, down = (walk(sampler, GAUSSIAN, x, [now, nxt], randn=lambda x, z=z: torch.full_like(x, z), **options) for z in (1.0, -1.0))
    return float(up - down) / 2


def test_variances_of_a_step_are_those_of_the_paper():
    """beta-tilde = (1 - abar_t-1) / (1 - abar_t) beta for DDPM and DDIM with eta = 1, eta times its root for DDIM, beta itself for `large`."""
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    abar, table = (1 - beta).cumprod(0), Table()
    for t in (1, 10, 500, 999):
        now, nxt = table.at(t), table.at(t - 1)
        tilde = float(((1 - abar[t - 1]) / (1 - abar[t]) * beta[t]).sqrt())
        assert one_step_std("ddpm", now, nxt) == pytest.approx(tilde, rel=1e-7)
        assert one_step_std("ddpm", now, nxt, large=True) == pytest.approx(float(beta[t].sqrt()), rel=1e-7)
        for eta in (0.0, 0.3, 1.0):
            assert one_step_std("ddim", now, nxt, eta=eta) == pytest.approx(eta * tilde, rel=1e-7)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m", "dpmpp_2m_sde", "euler_ancestral"])
def test_the_variance_rises_with_eta(sampler):
    levels = Cosine().levels(10)
    spread = [one_step_std(sampler, levels[3], levels[4], eta=eta) for eta in (0.0, 0.2, 0.5, 0.8, 1.0)]
    assert spread[0] == 0 and all(a < b for a, b in zip(spread, spread[1:], strict=False))


def test_ddim_with_eta_1_is_ddpm():
    x, levels = torch.randn(3, 2), Cosine().levels(20)
    assert torch.equal(
        *(walk(name, GAUSSIAN, x, levels, randn=drawn(), **options) for name, options in (("ddim", {"eta": 1.0}), ("ddpm", {})))
    )


@pytest.mark.parametrize("sampler", ORDER)
def test_samplers_with_an_order_draw_nothing(sampler):
    x, levels = torch.randn(3, 2), Cosine().levels(8)
    before = torch.get_rng_state()
    assert torch.equal(*(walk(sampler, GAUSSIAN, x, levels) for _ in range(2)))
    assert torch.equal(before, torch.get_rng_state())


# all but those whose chord is a straight line in one frame only
@pytest.mark.parametrize(
    ("sampler", "own"),
    [*((name, {}) for name in sorted(set(SAMPLERS) - {"heun", "edm"})), ("ddpm", {"large": True}), ("ddim", {"eta": 0.5})],
)
def test_the_frame_of_the_levels_changes_nothing(sampler, own):
    x, levels = torch.randn(4, 3, dtype=torch.float64), Cosine(low=0.05, high=0.97).levels(12)
    results = []
    for frame in ("ve", "vp", "rf"):
        framed = [level.framed(frame) for level in levels]
        length = framed[0].sigma / levels[0].sigma
        results.append(walk(sampler, GAUSSIAN, x * length, framed, **own, **({"randn": drawn()} if own else noise_option(sampler))))
    assert torch.allclose(results[0], results[1], rtol=1e-9) and torch.allclose(results[0], results[2], rtol=1e-9)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samples_do_not_depend_on_each_other(sampler):
    """A sample alone equals the same sample in a batch, with noise by sample."""
    x, levels = torch.randn(5, 2, 3, dtype=torch.float64), Cosine().levels(6)
    options = lambda indices: {"randn": Seeded(0, indices)} if noise_option(sampler) else {}  # noqa: E731
    together = walk(sampler, GAUSSIAN, x, levels, **options(range(5)))
    assert torch.allclose(walk(sampler, GAUSSIAN, x[3:4], levels, **options([3])), together[3:4], rtol=1e-12)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_single_precision_in_single_precision_out(sampler):
    assert walk(sampler, GAUSSIAN, torch.randn(2, 3), Cosine().levels(3)).dtype == torch.float32


def test_every_step_is_handed_out_with_its_x0():
    path = list(stepper("ddim")(GAUSSIAN, torch.randn(2, 3), Cosine().levels(5)))
    assert len(path) == 5
    assert torch.equal(path[-1][0], path[-1][1])  # the last x is all of its x0


def test_your_own_sampler_may_stand_in_for_a_name():
    def still(denoise, x, levels, by=0.0):
        yield x + by, x

    assert torch.equal(walk(still, GAUSSIAN, torch.zeros(2), Cosine().levels(3), by=2.0), torch.full((2,), 2.0))


@pytest.mark.parametrize(
    ("sampler", "options", "says"),
    [
        ("dpmp_2m", {}, "did you mean 'dpmpp_2m'"),
        ("ddim", {"etta": 0.5}, "did you mean 'eta'"),
        ("euler", {"eta": 0.5}, "no option 'eta'; it takes none"),
        ("ddim", {"randn": None}, "no option 'randn'"),
    ],
)
def test_what_cannot_be_asked_of_a_sampler(sampler, options, says):
    with pytest.raises(Usage, match=says):
        stepper(sampler, options=options)


@pytest.mark.parametrize("eta", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("sampler", ["ddim", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde"])
def test_eta_is_a_share(sampler, eta):
    with pytest.raises(Usage, match="0 <= eta <= 1"):
        walk(sampler, GAUSSIAN, torch.randn(2, 1), Cosine().levels(4), eta=eta)


def test_heun_in_a_frame_does_not_see_which_frame_the_levels_are_in():
    """The frame of the step is the sampler's, so levels of any length give the same picture; without one it is theirs."""
    denoise, levels = exact.mixture(torch.tensor([[-0.5], [0.7]]).double(), torch.tensor([0.3, 0.2]).double()), Table().levels(8)
    x = torch.linspace(-2, 2, 7, dtype=torch.float64)[:, None]
    there = {frame: [level.framed(frame) for level in levels] for frame in ("ve", "vp")}
    scale = there["ve"][0].sigma / there["vp"][0].sigma
    expected = walk("heun", denoise, x * scale, there["ve"])
    assert torch.allclose(walk("heun", denoise, x, there["vp"], frame="ve"), expected, atol=1e-12)
    assert not torch.allclose(walk("heun", denoise, x, there["vp"]), expected, atol=1e-3)
