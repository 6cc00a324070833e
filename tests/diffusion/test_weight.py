import pytest
import torch

from fromnoise.diffusion import PREDICT, WEIGHTS, Flow, Karras, Level, predict

SNR = torch.tensor([1e-4, 0.01, 1.0, 4.9, 5.0, 5.1, 100.0, 1e4], dtype=torch.float64)


def of_snr(frame: str) -> Level:
    return Level(SNR.sqrt(), torch.ones_like(SNR)).framed(frame)


def weight(name: str, kind: str, level: Level, data_std: float = 1.0):
    return WEIGHTS[name](level, predict.c_out(kind, level, data_std), data_std)


@pytest.mark.parametrize("frame", ["ve", "vp", "rf"])
def test_min_snr_is_the_papers_for_each_type(frame):
    """w = min(SNR, 5) for x0, min(SNR, 5) / SNR for eps, min(SNR, 5) / (SNR + 1) for v (Hang et al. 2023, section 3.4)."""
    clamped = torch.minimum(SNR, torch.tensor(5.0).double())
    assert torch.allclose(weight("min_snr", "x0", of_snr(frame)), clamped)
    assert torch.allclose(weight("min_snr", "eps", of_snr(frame)), clamped / SNR)
    assert torch.allclose(weight("min_snr", "v", of_snr(frame)), clamped / (SNR + 1))


def test_min_snr_is_clamped_from_above():
    """Nearly clean pictures count less than the plain loss of eps, noisy ones as much, none more."""
    found = weight("min_snr", "eps", of_snr("vp"))
    assert float(found[-1]) == pytest.approx(5e-4) and float(found[0]) == pytest.approx(1)
    assert (found <= 1 + 1e-12).all()


@pytest.mark.parametrize("data_std", [0.5, 1.0, 2.0])
def test_edms_lambda_is_1_on_its_own_answer(data_std):
    level = Karras()(torch.linspace(0, 1, 9))
    assert torch.allclose(weight("edm", "edm", level, data_std), torch.ones(9).double())


def test_edms_lambda_on_the_error_of_x0():
    """lambda(sigma) = (sigma² + s²) / (sigma s)² (Karras et al. 2022, table 1)."""
    level, s = Karras()(torch.linspace(0, 1, 9)), 0.5
    expected = (level.sigma**2 + s**2) / (level.sigma * s) ** 2
    assert torch.allclose(weight("edm", "x0", level, s), expected)
    assert torch.allclose(weight("edm", "x0", level.framed("rf"), s), expected)


@pytest.mark.parametrize("frame", ["ve", "vp", "rf"])
def test_sigmoid_on_the_error_of_eps(frame):
    """w = 1 / (1 + exp(log SNR - 2)) (Hoogeboom et al. 2024)."""
    assert torch.allclose(weight("sigmoid", "eps", of_snr(frame)), 1 / (1 + torch.exp(SNR.log() - 2)))


def test_three_terms_on_the_error_of_v():
    """w(t) = 1 + (1 - t)² + t², between 1.5 and 2."""
    t = torch.linspace(0.01, 0.99, 11).double()
    for kind in ("velocity", "iadb"):
        found = weight("three_term", kind, Flow()(t))
        assert torch.allclose(found, 1 + (1 - t) ** 2 + t**2)
        assert found.min() >= 1.5 and found.max() < 2


@pytest.mark.parametrize("kind", PREDICT)
def test_flat_is_1_on_whatever_is_predicted(kind):
    assert torch.equal(weight("flat", kind, of_snr("vp")), torch.ones(8).double())


@pytest.mark.parametrize("kind", sorted(set(PREDICT) - {"eps"}))
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_are_finite_at_pure_noise(name, kind):
    pure = Level(torch.zeros(1).double(), torch.ones(1).double())
    assert torch.isfinite(weight(name, kind, pure)).all()


@pytest.mark.parametrize("name", sorted(set(WEIGHTS) - {"flat"}))
def test_a_weight_of_x0_does_not_depend_on_what_is_predicted(name):
    """weight / c_out² is one function of the level."""
    level = Flow()(torch.linspace(0.1, 0.9, 5).double())
    first, *others = (weight(name, kind, level) / predict.c_out(kind, level) ** 2 for kind in PREDICT)
    assert all(torch.allclose(first, other) for other in others)
