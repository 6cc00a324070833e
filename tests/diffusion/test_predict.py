import math

import pytest
import torch

from fromnoise.diffusion import PREDICT, SCHEDULES, Flow, Karras, Level, predict
from fromnoise.errors import Usage

T = torch.linspace(0.02, 0.98, 7, dtype=torch.float64)
X0, EPS = torch.randn(2, 7, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("data_std", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", PREDICT)
def test_solve_inverts_target(kind, schedule, data_std):
    level = SCHEDULES[schedule]()(T)
    F = predict.target(kind, level, X0, EPS, data_std)
    x0, eps = predict.solve(kind, level, level.mix(X0, EPS), F, data_std)
    assert torch.allclose(x0, X0, atol=1e-7) and torch.allclose(eps, EPS, atol=1e-7)


@pytest.mark.parametrize("there", PREDICT)
@pytest.mark.parametrize("here", PREDICT)
def test_every_type_converts_to_every_other_and_back_in_single_precision(here, there):
    x0, eps = X0.float(), EPS.float()
    level = SCHEDULES["cosine"]()(T)
    x, F = level.mix(x0, eps), predict.target(here, level, x0, eps)
    across = predict.target(there, level, *predict.solve(here, level, x, F))
    back = predict.target(here, level, *predict.solve(there, level, x, across))
    scale = 1 / float(level.sigma.min())
    assert torch.allclose(back, F, atol=1e-5 * scale)


def test_x0_eps_and_flows_are_what_their_names_say():
    level = Flow()(T)
    assert torch.equal(predict.target("x0", level, X0, EPS), X0)
    assert torch.equal(predict.target("eps", level, X0, EPS), EPS)
    assert torch.allclose(predict.target("velocity", level, X0, EPS), EPS - X0)
    assert torch.allclose(predict.target("iadb", level, X0, EPS), X0 - EPS)


def test_velocity_is_the_slope_of_the_straight_line():
    step = 1e-6
    slope = (Flow()(T + step).mix(X0, EPS) - Flow()(T - step).mix(X0, EPS)) / (2 * step)
    assert torch.allclose(predict.target("velocity", Flow()(T), X0, EPS), slope, atol=1e-6)


def test_v_is_salimans_and_hos():
    """v = alpha_t eps - sigma_t x, x_hat = alpha_t z - sigma_t v (Salimans & Ho 2022, appendix D), eps_hat = sigma_t z + alpha_t v."""
    phi = T * math.pi / 2
    a, s = (f(phi)[:, None, None, None] for f in (torch.cos, torch.sin))
    z, v = a * X0 + s * EPS, a * EPS - s * X0
    level = SCHEDULES["cosine"]()(T)
    assert torch.allclose(predict.target("v", level, X0, EPS), v)
    x0, eps = predict.solve("v", level, z, v + 0.3)  # of a network that errs
    assert torch.allclose(x0, a * z - s * (v + 0.3)) and torch.allclose(eps, s * z + a * (v + 0.3))


@pytest.mark.parametrize("data_std", [0.5, 1.0, 2.0])
def test_edm_is_table_1(data_std):
    """D = c_skip x + c_out F, c_skip = s² / (sigma² + s²), c_out = sigma s / sqrt(s² + sigma²) (Karras et al. 2022, table 1)."""
    level = Karras()(T)
    sigma = level.sigma[:, None, None, None]
    c_skip, c_out = data_std**2 / (sigma**2 + data_std**2), sigma * data_std / (data_std**2 + sigma**2).sqrt()
    x, F = X0 + sigma * EPS, torch.randn_like(X0)
    assert torch.allclose(predict.solve("edm", level, x, F, data_std)[0], c_skip * x + c_out * F, rtol=1e-9, atol=1e-9)
    assert torch.allclose(predict.c_out("edm", level, data_std), c_out.flatten())


@pytest.mark.parametrize("kind", PREDICT)
@pytest.mark.parametrize("schedule", ["cosine", "flow", "karras"])
def test_c_out_is_how_an_error_of_the_network_reaches_x0(kind, schedule):
    level = SCHEDULES[schedule]()(T)
    x, F = level.mix(X0, EPS), predict.target(kind, level, X0, EPS, 0.7)
    moved = predict.solve(kind, level, x, F + 1, 0.7)[0] - predict.solve(kind, level, x, F, 0.7)[0]
    assert torch.allclose(moved[:, 0, 0, 0], predict.c_out(kind, level, 0.7), rtol=1e-6, atol=1e-9)


def test_unit_variance_targets():
    """v for data of spread 1 and edm for data of any spread have variance 1 at every level."""
    a, b = predict.v(Karras()(T), 1.0)
    assert torch.allclose(a**2 + b**2, torch.ones(7).double())
    a, b = predict.edm(Karras()(T), 0.4)
    assert torch.allclose((0.4 * a) ** 2 + b**2, torch.ones(7).double())


@pytest.mark.parametrize("schedule", ["flow", "cosine", "shifted"])
def test_eps_is_refused_where_nothing_of_the_data_is_left(schedule):
    noisiest = SCHEDULES[schedule]()(torch.ones(()))
    with pytest.raises(Usage, match=r"noise.high to 0.99, or predict v or velocity"):
        predict.check("eps", noisiest)
    predict.check("eps", SCHEDULES[schedule](high=0.99)(torch.ones(())))
    for kind in set(PREDICT) - {"eps"}:
        predict.check(kind, noisiest)


def test_every_type_can_start_at_pure_noise_but_eps():
    pure = Level(torch.zeros(()).double(), torch.ones(()).double())
    for kind in set(PREDICT) - {"eps"}:
        assert all(torch.isfinite(part).all() for part in predict.solve(kind, pure, EPS, X0))


def test_an_unknown_type_names_the_nearest():
    with pytest.raises(Usage, match="did you mean 'velocity'"):
        predict.row_of("velocty")
