import itertools

import pytest
import torch

from fromnoise.diffusion import SOURCES, Coupled, Gaussian, Paired, Seeded
from fromnoise.draws import Draws
from fromnoise.errors import Problem


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


def test_gaussian_is_a_function_of_its_draws():
    batch = {"x": torch.zeros(4, 3)}
    assert torch.equal(Gaussian()(batch, draws(4, 1)), Gaussian()(batch, draws(4, 1)))
    assert not torch.equal(Gaussian()(batch, draws(4, 1)), Gaussian()(batch, draws(4, 2)))


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


def test_paired_takes_the_entry_that_is_named():
    batch = {"x": torch.zeros(2, 3), "source": torch.ones(2, 3), "other": torch.full((2, 3), 2.0)}
    assert torch.equal(Paired()(batch), batch["source"])
    assert torch.equal(SOURCES["paired"]("other")(batch), batch["other"])
    with pytest.raises(Problem, match="'missing'.*x, source, other"):
        Paired("missing")(batch)
