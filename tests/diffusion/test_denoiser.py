import math

import pytest
import torch
from torch import nn

from fromnoise.diffusion import Cosine, Denoiser, Flow, Karras, Level, Table
from fromnoise.diffusion.denoiser import Bound
from fromnoise.errors import Usage


class Recorder(nn.Module):
    """A network that keeps what it was told, and answers with a fixed function of it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x, clock, context=None):
        self.seen.append((x, clock, context))
        return torch.tanh(x + clock.reshape(-1, *[1] * (x.ndim - 1)))


def test_edms_preconditioning_typed_out():
    """D(x; sigma) = c_skip x + c_out F(c_in x; c_noise) with table 1 of Karras et al. (2022), s = 0.5."""
    s, x = 0.5, torch.randn(5, 3, 4, dtype=torch.float64)
    sigma = torch.tensor([0.002, 0.1, 0.5, 3.0, 80.0], dtype=torch.float64)
    each = sigma[:, None, None]
    c_skip, c_out = s**2 / (each**2 + s**2), each * s / (s**2 + each**2).sqrt()
    c_in, c_noise = 1 / (each**2 + s**2).sqrt(), torch.log(each) / 4
    expected = c_skip * x + c_out * torch.tanh(c_in * x + c_noise)
    denoiser = Denoiser(Recorder(), "edm", clock="log", frame="vp", data_std=s)
    found, _ = denoiser(x, Level(torch.ones_like(sigma), sigma))
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", [Cosine(0.1, 0.9), Flow(0.1, 0.9), Karras()])
def test_the_network_sees_unit_variance_in_the_vp_frame(schedule):
    data_std, n = 0.5, 20_000
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, n, 1, generator=generator)
    network = Recorder()
    for t in (0.0, 0.5, 1.0):
        level = schedule(torch.tensor(t))
        Denoiser(network, data_std=data_std)(level.mix(data_std * x0, eps), level)
        assert float(network.seen[-1][0].std()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("clock", "expected"),
    [("angle", math.atan2(3, 1) * 2 / math.pi), ("flow", 0.75), ("alpha", 0.25), ("log", math.log(3) / 4), (Flow(), 0.75)],
)
def test_clocks_tell_the_level_whatever_its_length(clock, expected):
    network = Recorder()
    denoiser = Denoiser(network, clock=clock)
    for length in (1.0, 0.25):
        denoiser(torch.zeros(2, 3), Level(torch.tensor(1.0 * length).double(), torch.tensor(3.0 * length).double()))
        told = network.seen[-1][1]
        assert told.shape == (2,) and told.tolist() == pytest.approx([expected] * 2)


def test_a_table_is_a_clock_that_tells_its_index():
    network, table = Recorder(), Table()
    Denoiser(network, "eps", table)(torch.zeros(4, 2), table.at(torch.tensor([0, 1, 500, 999])))
    assert (network.seen[-1][1] * 1000).tolist() == pytest.approx([0, 1, 500, 999], abs=1e-3)


@pytest.mark.parametrize("predict", ["x0", "eps", "velocity", "iadb", "v", "edm"])
def test_both_parts_of_the_answer_make_x(predict):
    x, level = torch.randn(3, 2, 5), Cosine()(torch.tensor([0.2, 0.5, 0.9]))
    x0, eps = Denoiser(Recorder(), predict)(x, level)
    assert torch.allclose(level.mix(x0, eps), x, atol=1e-5)


def test_only_the_network_runs_in_reduced_precision():
    class Net(nn.Linear):
        def forward(self, x, clock, context=None):
            answer = super().forward(x)
            assert answer.dtype == torch.bfloat16
            return answer

    denoiser = Denoiser(Net(4, 4))
    denoiser.autocast = torch.bfloat16
    x, level = torch.randn(2, 4), Cosine()(torch.tensor(0.5))
    x0, eps = denoiser(x, level)
    assert x0.dtype == eps.dtype == torch.float32
    assert torch.allclose(level.mix(x0, eps), x, atol=1e-5)


def test_bound_hands_the_context_on():
    network = Recorder()
    Bound(Denoiser(network), "told")(torch.zeros(1, 2), Cosine()(torch.tensor(0.5)))
    assert network.seen[-1][2] == "told"


@pytest.mark.parametrize("wrong", [{"clock": "angel"}, {"frame": "vpp"}, {"predict": "esp"}])
def test_unknown_words_name_the_nearest(wrong):
    with pytest.raises(Usage, match="did you mean"):
        Denoiser(Recorder(), **wrong)
