"""Classifier guidance, where Bayes' rule is known: a mixture whose classes are its components."""

import math

import pytest
import torch
from torch.nn.functional import log_softmax

from fromnoise.diffusion import Cosine, Flow, Karras, Level, classified, exact, log_class
from fromnoise.samplers import walk

MEANS = torch.tensor([[-1.0, 0.5], [0.8, 0.2], [0.1, -1.2]]).double()
STDS = torch.tensor([0.3, 0.2, 0.4]).double()
WEIGHTS = torch.tensor([0.2, 0.5, 0.3]).double()
WHOLE = exact.mixture(MEANS, STDS, WEIGHTS)


def log_posterior(x, level):
    """log p(k | x_t) (B, K): x_t of component k is N(alpha m_k, (alpha² s_k² + sigma²) I), by torch's own densities."""
    spread = (level.alpha**2 * STDS**2 + level.sigma**2).sqrt()
    parts = [torch.distributions.Normal(level.alpha * m, s).log_prob(x).sum(1) for m, s in zip(MEANS, spread, strict=True)]
    return log_softmax(torch.stack(parts, 1) + WEIGHTS.log(), 1)


def bayes(k):
    return lambda x, x0, level: log_posterior(x, level)[:, k]


@pytest.mark.parametrize("schedule", [Cosine(), Flow(), Karras()], ids=["vp", "rf", "ve"])
@pytest.mark.parametrize("k", range(3))
def test_with_the_true_classifier_the_denoiser_is_that_of_the_class(k, schedule):
    x = 2 * torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
    for t in (0.05, 0.4, 0.8, 0.99):
        level = schedule(torch.tensor(t))
        found, expected = classified(WHOLE, bayes(k))(x, level), exact.mixture(MEANS[k : k + 1], STDS[k : k + 1])(x, level)
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one, other, rtol=1e-7, atol=1e-9)


def test_levels_of_a_batch_are_each_samples_own():
    x, level = torch.randn(3, 2, dtype=torch.float64), Cosine()(torch.tensor([0.2, 0.5, 0.9]))
    together = classified(WHOLE, lambda x, x0, level: x0[:, 0])(x, level)
    for i in range(3):
        alone = classified(WHOLE, lambda x, x0, level: x0[:, 0])(x[i : i + 1], Level(level.alpha[i], level.sigma[i]))
        assert all(torch.allclose(a[i : i + 1], b) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpmpp_2m"])
def test_samples_are_of_the_class_that_was_asked_for(sampler):
    n, k = 2000, 2
    generator = torch.Generator().manual_seed(0)
    randn = {"randn": lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype)} if sampler == "ddpm" else {}
    x = walk(sampler, classified(WHOLE, bayes(k)), torch.randn(n, 2, generator=generator).double(), Cosine().levels(100), **randn)
    assert torch.allclose(x.mean(0), MEANS[k], atol=4 * float(STDS[k]) / math.sqrt(n) + 0.01)
    assert torch.allclose(x.std(0), STDS[k].expand(2), rtol=0.1)


def test_scale_multiplies_what_the_classifier_adds():
    x, level = torch.randn(20, 2, dtype=torch.float64), Cosine()(torch.tensor(0.6))
    plain, once, thrice = WHOLE(x, level), classified(WHOLE, bayes(1))(x, level), classified(WHOLE, bayes(1), 3.0)(x, level)
    for p, one, three in zip(plain, once, thrice, strict=True):
        assert torch.allclose(three - p, 3 * (one - p))
    assert torch.allclose(level.mix(*thrice), x), "x0 and eps still make x"


def test_of_clean_pictures_the_gradient_runs_through_the_denoiser():
    """One Gaussian: x0 = m + J (x - alpha m) with J = alpha s² / (alpha² s² + sigma²), so grad log p = J w for logits (w · x0, 0) of even odds."""
    std, w = 0.5, torch.tensor([2.0, -1.0]).double()
    denoise, level = exact.gaussian(0.0, std), Cosine()(torch.tensor(0.5))
    x = torch.randn(10, 2, dtype=torch.float64)
    labels = torch.arange(10) % 2
    log_p = log_class(lambda x0: torch.stack([x0 @ w, 0 * x0[:, 0]], 1).double(), labels)
    alpha, sigma = float(level.alpha), float(level.sigma)
    jacobian = alpha * std**2 / (alpha**2 * std**2 + sigma**2)
    p = torch.sigmoid((jacobian * x) @ w)  # of label 0
    gradient = torch.where(labels == 0, 1 - p, -p)[:, None] * jacobian * w
    eps = denoise(x, level)[1] - 2.5 * sigma * gradient
    assert torch.allclose(classified(denoise, log_p, 2.5)(x, level)[1], eps, atol=1e-5)


@pytest.mark.parametrize(("noise", "heard"), [(0.4, False), (0.5, False), (0.51, True), (2.0, True), (2.01, False)])
def test_the_classifier_is_heard_in_its_interval(noise, heard):
    x, level = torch.randn(4, 2, dtype=torch.float64), Level(torch.tensor(0.5).double(), torch.tensor(0.5 * noise).double())
    found = classified(WHOLE, bayes(0), 2.0, low=0.5, high=2.0)(x, level)[0]
    assert torch.equal(found, WHOLE(x, level)[0]) != heard


def test_it_works_where_gradients_are_off_and_keeps_none():
    x, level = torch.randn(4, 2, dtype=torch.float64), Cosine()(torch.tensor(0.5))
    with torch.no_grad():
        parts = classified(WHOLE, bayes(0))(x, level)
    assert not x.requires_grad and not any(part.requires_grad for part in parts)
