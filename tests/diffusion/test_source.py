import itertools

import pytest
import torch

from fromnoise import config
from fromnoise.diffusion import SOURCES, Coupled, Flow, Gaussian, Paired, Seeded
from fromnoise.draws import Draws
from fromnoise.errors import Problem, Usage
from fromnoise.samplers import iadb, walk
from tests.parts import Still


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(n: int, seed: int = 0) -> Draws:
    return Draws.fixed(n, seed)


def test_seeded_noise_does_not_depend_on_the_batch():
    whole = Seeded(3, range(10))
    parts = [Seeded(3, range(0, 1)), Seeded(3, range(1, 4)), Seeded(3, [4, 5, 6, 7, 8, 9])]
    for _ in range(3):  # every draw of a walk
        x = torch.empty(10, 2, 3)
        split = torch.cat([part(x[: len(part.streams)]) for part in parts])
        assert torch.equal(whole(x), split)


def test_seeded_noise_is_standard_normal_and_its_samples_independent():
    eps = Seeded(0, range(400))(torch.empty(400, 250))
    assert abs(float(eps.mean())) < 4 / 100_000**0.5 and float(eps.std()) == pytest.approx(1, abs=0.01)
    assert float((eps**4).mean()) == pytest.approx(3, abs=0.15)
    correlations = torch.corrcoef(eps)
    correlations.fill_diagonal_(0)
    assert float(correlations.square().mean().sqrt()) == pytest.approx(1 / 250**0.5, rel=0.1)


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 - 1, 2**70 + 5])
def test_any_whole_number_is_a_seed(seed):
    eps = Seeded(seed, [0, 1])(torch.empty(2, 5))
    assert torch.isfinite(eps).all() and not torch.equal(eps, Seeded(0, [0, 1])(torch.empty(2, 5)))


def test_other_seeds_give_other_noise():
    draws = [Seeded(seed, [index])(torch.empty(1, 4)).tolist()[0] for seed in range(3) for index in range(3)]
    assert len({tuple(draw) for draw in draws}) == 9


def test_seeded_noise_takes_the_dtype_of_x():
    assert Seeded(0, [0])(torch.empty(1, 2, dtype=torch.float64)).dtype == torch.float64


def test_offset_noise():
    """eps + o n, n one number a channel: variance 1 + o², and o² between any two pixels of a channel, none between channels."""
    eps = Gaussian(0.5)({"x": torch.empty(20_000, 2, 2, 2)}, draws(20_000))
    covariance = torch.cov(eps.flatten(1).T)
    expected = torch.eye(8) + 0.25 * torch.block_diag(torch.ones(4, 4), torch.ones(4, 4))
    assert torch.allclose(covariance, expected, atol=0.05)


@pytest.mark.parametrize("shape", [(2,), (1, 5), (1, 4, 4), (1, 2, 3, 4)])
def test_offset_noise_on_any_number_of_axes(shape):
    batch = {"x": torch.zeros(7, *shape)}
    assert Gaussian(0.1)(batch, draws(7)).shape == (7, *shape)
    assert Gaussian(0.1).start(7, shape, Seeded(0, range(7))).shape == (7, *shape)


def test_sampling_starts_from_the_noise_of_training():
    """The start has the covariance of `test_offset_noise`, and sample i does not depend on the others of its batch."""
    eps = Gaussian(0.5).start(20_000, (2, 2, 2), Seeded(0, range(20_000)))
    expected = torch.eye(8) + 0.25 * torch.block_diag(torch.ones(4, 4), torch.ones(4, 4))
    assert torch.allclose(torch.cov(eps.flatten(1).T), expected, atol=0.05)
    assert torch.equal(Gaussian(0.5).start(3, (2, 2, 2), Seeded(0, [5, 6, 7])), eps[5:8])


@pytest.mark.parametrize("source", [Gaussian(), Gaussian(0.3)])
def test_gaussian_is_a_function_of_its_draws_alone(source):
    batch = {"x": torch.zeros(6, 3, 2, 2)}
    whole = source(batch, draws(6, 1))
    assert torch.equal(whole, source(batch, draws(6, 1))) and not torch.equal(whole, source(batch, draws(6, 2)))
    parts = [source({"x": batch["x"][rows]}, draws(6, 1).part(rows)) for rows in (slice(0, 2), slice(2, 6))]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_coupled_noise_is_the_best_of_all_pairings(n):
    x0 = torch.randn(n, 1, 2, 2, generator=generator(n))
    plain = Gaussian()({"x": x0}, draws(n, 7))
    found = Coupled()({"x": x0}, draws(n, 7))
    cost = lambda eps: float((x0 - eps).double().square().sum())  # noqa: E731
    best = min((plain[list(order)] for order in itertools.permutations(range(n))), key=cost)
    assert torch.equal(found, best)


def test_coupling_leaves_pictures_with_their_labels():
    """It hands out noise only: the batch is as it was, and examples of a label stay with their noise side."""
    label = torch.arange(40) % 2
    x0 = torch.where(label == 0, -3.0, 3.0)[:, None] + 0.01 * torch.randn(40, 1, generator=generator())
    batch = {"x": x0.clone(), "label": label.clone()}
    eps = Coupled()(batch, draws(40, 1))
    assert torch.equal(batch["x"], x0) and torch.equal(batch["label"], label)
    assert float(eps[label == 0].max()) < float(eps[label == 1].min())


def test_what_is_matched_must_be_seen_at_once():
    """Which is why processes put their batches together for it (`whole`): parts apart are matched worse."""
    assert Coupled.whole and not Gaussian.whole and not Paired.whole
    x0 = torch.randn(12, 2, generator=generator())
    alone = Coupled()({"x": x0}, draws(12))
    ranks = [slice(0, 4), slice(4, 8), slice(8, 12)]
    apart = torch.cat([Coupled()({"x": x0[rows]}, draws(12).part(rows)) for rows in ranks])
    assert not torch.equal(apart, alone) and torch.equal(apart.sort(0).values, alone.sort(0).values)
    assert float((x0 - alone).square().sum()) < float((x0 - apart).square().sum())


def test_coupled_samples_start_from_plain_noise():
    assert torch.equal(Coupled().start(3, (2, 4), Seeded(1, range(3))), Gaussian().start(3, (2, 4), Seeded(1, range(3))))


def test_paired_takes_the_entry_that_is_named():
    batch = {"x": torch.zeros(2, 3), "source": torch.ones(2, 3), "other": torch.full((2, 3), 2.0)}
    assert torch.equal(Paired()(batch, draws(2)), batch["source"])
    assert torch.equal(SOURCES["paired"]("other")(batch, draws(2)), batch["other"])
    assert (Paired().key, Paired("image").key, Gaussian().key, Coupled().key) == ("source", "image", None, None)
    with pytest.raises(Problem, match="'missing'.*x, source, other"):
        Paired("missing")(batch, draws(2))
    with pytest.raises(Usage, match=r"'source' has the shape \(1,\), x has \(3,\)"):
        Paired()(batch | {"source": torch.ones(2, 1)}, draws(2))


def test_paired_samples_start_from_the_examples_in_turn():
    examples = torch.arange(3.0)[:, None].expand(3, 2)
    assert Paired().start(7, (2,), Seeded(0, range(7)), examples)[:, 0].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert Paired().start(3, (2,), Seeded(0, range(4, 7)), examples)[:, 0].tolist() == [1, 2, 0]  # whatever the batch
    with pytest.raises(Usage, match="not from noise"):
        Paired().start(2, (2,), Seeded(0, range(2)), None)
    with pytest.raises(Usage, match="shape"):
        Paired().start(2, (3,), Seeded(0, range(2)), examples)


def test_a_source_of_ones_own():
    source = config.build(SOURCES, {"name": "tests.parts:Still", "value": 0.5}, "source")
    assert source == Still(0.5)
    assert torch.equal(source({"x": torch.zeros(2, 3)}, draws(2)), torch.full((2, 3), 0.5))


def test_a_walk_leads_from_one_set_to_another():
    """x0 ~ N(m, s² I) drawn apart from eps ~ N(u, r² I): with a = 1 - t, E[x0 | x] and E[eps | x] are known, and the walk of alpha-blending
    maps the source's mean and deviation to the data's; at a = 0 x is the source."""
    m, s, u, r = torch.tensor([3.0, -1.0]).double(), 0.5, torch.tensor([-2.0, 2.0]).double(), 1.5

    def denoise(x, level):
        alpha, sigma = level.like(x)
        share = alpha * s**2 / (alpha**2 * s**2 + sigma**2 * r**2)
        x0 = m + share * (x - alpha * m - sigma * u)
        return x0, level.eps(x, x0) if sigma else x

    examples = u + r * torch.randn(4000, 2, dtype=torch.float64, generator=generator())
    levels = Flow().levels(200)
    eps = Paired().start(4000, (2,), Seeded(0, range(4000)), examples)
    x = levels[0].mix(torch.zeros(()), eps)
    assert torch.equal(x, examples)
    found = walk(iadb, denoise, x, levels)
    # the flow between two normals is x0 = m + (s / r) (eps - u), since their variance is (1 - t)² s² + t² r² along it
    assert torch.allclose(found, m + s / r * (examples - u), atol=0.02)
    assert float((found - examples).norm(dim=1).min()) > 1
