import numpy as np
import pytest
import torch
from torch import nn

from fromnoise.diffusion import DISTANCES, PREDICT, WEIGHTS, Cosine, Denoiser, Flow, Table, loss
from fromnoise.diffusion.loss import ssim

GENERATOR = torch.Generator().manual_seed(0)
X0, EPS = torch.randn(2, 6, 2, 8, 9, dtype=torch.float64, generator=GENERATOR)
T = torch.tensor([0.03, 0.2, 0.45, 0.6, 0.8, 0.97], dtype=torch.float64)


class Net(nn.Module):
    """Some function of x and the clock."""

    def forward(self, x, clock, context=None):
        return torch.sin(3 * x + clock[:, None, None, None])


def mse(a, b):
    return (a - b).square().mean((1, 2, 3))


def test_ddpms_simple_loss():
    """|| eps - eps_theta(sqrt(abar) x0 + sqrt(1 - abar) eps, t) ||² (Ho et al. 2020, eq. 14)."""
    table, t = Table(), torch.tensor([0, 10, 200, 500, 800, 999])
    abar = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)[t][:, None, None, None]
    x_t = abar.sqrt() * X0 + (1 - abar).sqrt() * EPS
    expected = mse(torch.sin(3 * x_t + t[:, None, None, None] / 1000), EPS)
    assert torch.allclose(loss(Denoiser(Net(), "eps", table), X0, table.at(t), eps=EPS), expected, atol=1e-6)


def test_flow_matchings_loss():
    """|| u(x_t, t) - (eps - x0) ||² with x_t = (1 - t) x0 + t eps."""
    t = T[:, None, None, None]
    expected = mse(torch.sin(3 * ((1 - t) * X0 + t * EPS) + t), EPS - X0)
    assert torch.allclose(loss(Denoiser(Net(), "velocity", "flow", frame="rf"), X0, Flow()(T), eps=EPS), expected)


@pytest.mark.parametrize("kind", PREDICT)
def test_three_term_loss_as_it_is_written(kind):
    """MSE(v) + MSE(eps) + MSE(x), v = x - eps, eps_hat = x_t - (1 - t) v_hat, x_hat = x_t + t v_hat."""
    denoiser = Denoiser(Net(), kind)
    t = T[:, None, None, None]
    x_t = (1 - t) * X0 + t * EPS
    v = X0 - EPS
    x0, eps = denoiser(x_t, Flow()(T))
    v_hat = x0 - eps
    eps_hat, x_hat = x_t - (1 - t) * v_hat, x_t + t * v_hat
    literal = mse(v_hat, v) + mse(eps_hat, EPS) + mse(x_hat, X0)
    assert torch.allclose(loss(denoiser, X0, Flow()(T), eps=EPS, weight=WEIGHTS["three_term"]), literal)


@pytest.mark.parametrize("kind", PREDICT)
def test_min_snr_is_one_loss_of_x0_whatever_is_predicted(kind):
    denoiser, level = Denoiser(Net(), kind), Cosine()(T)
    error = mse(denoiser(level.mix(X0, EPS), level)[0], X0)
    snr = (1 / torch.tan(T * torch.pi / 2)) ** 2
    assert torch.allclose(loss(denoiser, X0, level, eps=EPS, weight=WEIGHTS["min_snr"]), snr.clamp(max=5) * error)


def test_distances_typed_out():
    a, b = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.5, -3.0, 1.0])
    assert DISTANCES["mse"](a, b).tolist() == [0.25, 9.0, 0.0]
    assert DISTANCES["l1"](a, b).tolist() == [0.5, 3.0, 0.0]
    assert DISTANCES["huber"](a, b).tolist() == [0.125, 2.5, 0.0]  # a²/2 below 1, |a| - 1/2 above


@pytest.mark.parametrize("distance", DISTANCES)
def test_the_loss_measures_by_the_distance_that_is_named(distance):
    denoiser, level = Denoiser(Net(), "x0"), Cosine()(T)
    answer = denoiser(level.mix(X0, EPS), level)[0]
    found = loss(denoiser, X0, level, eps=EPS, distance=distance)
    assert torch.allclose(found, DISTANCES[distance](answer, X0).mean((1, 2, 3)))


def test_noise_is_drawn_where_none_is_given():
    x0 = torch.zeros(200, 1, 8, 8)

    class Silent(nn.Module):
        def forward(self, x, clock, context=None):
            return torch.zeros_like(x)

    value = loss(Denoiser(Silent(), "eps"), x0, Cosine()(torch.full((200,), 0.5)))
    assert float(value.mean()) == pytest.approx(1, abs=0.06)


def test_a_penalty_compares_the_clean_pictures():
    denoiser, level = Denoiser(Net()), Cosine()(T)
    plain = loss(denoiser, X0, level, eps=EPS)
    with_penalty = loss(denoiser, X0, level, eps=EPS, penalty=lambda a, b: 3 * mse(a, b))
    x0 = denoiser(level.mix(X0, EPS), level)[0]
    assert torch.allclose(with_penalty - plain, 3 * mse(x0, X0))


def windowed(a: np.ndarray, b: np.ndarray, window: int = 7) -> float:
    """Mean SSIM of two grey pictures in [0, 1], window by window (Wang et al. 2004, eq. 13)."""
    values = []
    for i in range(a.shape[0] - window + 1):
        for j in range(a.shape[1] - window + 1):
            p, q = (image[i : i + window, j : j + window].ravel() for image in (a, b))
            covariance = np.cov(p, q)
            c1, c2 = 0.01**2, 0.03**2
            top = (2 * p.mean() * q.mean() + c1) * (2 * covariance[0, 1] + c2)
            values.append(top / ((p.mean() ** 2 + q.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)))
    return float(np.mean(values))


def test_ssim_window_by_window():
    a, b = torch.rand(2, 3, 2, 11, 9, dtype=torch.float64, generator=GENERATOR) * 2 - 1
    b = 0.6 * a + 0.4 * b
    expected = [
        1 - np.mean([windowed((p / 2 + 0.5).numpy(), (q / 2 + 0.5).numpy()) for p, q in zip(one, two, strict=True)])
        for one, two in zip(a, b, strict=True)
    ]
    assert ssim(a, b).tolist() == pytest.approx(expected, rel=1e-9)


def test_ssim_of_a_picture_with_itself_is_no_penalty():
    a = torch.rand(2, 1, 28, 28) * 2 - 1
    assert ssim(a, a).abs().max() < 1e-5
    assert (ssim(a, -a) > 1).all()  # the inverted picture is worse than an unrelated one
