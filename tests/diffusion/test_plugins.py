"""Parts of one's own, by `module:name` and as they are: each does what the built-in that says the same does, or what its arithmetic says."""

import pytest
import torch

from fromnoise.diffusion import Cosine, Denoiser, Flow, Table, exact, loss, predict
from fromnoise.errors import Usage
from fromnoise.samplers import stepper, walk
from tests import parts

X0, EPS = torch.randn(2, 5, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
LEVEL = Flow()(torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]))


def seen(x, t, context=None):
    """A network that predicts its own time."""
    return t.reshape(-1, 1, 1, 1).expand_as(x)


class Seen(torch.nn.Module):
    forward = staticmethod(seen)


@pytest.mark.parametrize("kind", ["tests.parts:half_way", parts.half_way])
def test_a_prediction_of_ones_own(kind):
    denoiser = Denoiser(Seen(), predict=kind)
    F = predict.target(denoiser.predict, LEVEL, X0, EPS)
    assert torch.allclose(F, (X0 - EPS) / 2)
    x0, eps = predict.solve(kind, LEVEL, LEVEL.mix(X0, EPS), F)
    assert torch.allclose(x0, X0) and torch.allclose(eps, EPS)
    predict.check(kind, Flow()(torch.ones(())))


@pytest.mark.parametrize("clock", ["tests.parts:tenths", parts.tenths])
def test_a_clock_of_ones_own(clock):
    denoiser = Denoiser(Seen(), clock=clock)
    assert torch.allclose(denoiser.raw(X0, LEVEL)[:, 0, 0, 0], torch.tensor([1.0, 3, 5, 7, 9]).double())
    denoiser.check(Flow()(torch.ones(())))


@pytest.mark.parametrize("by_name", [True, False])
def test_a_loss_of_ones_own(by_name):
    own = {"weight": parts.doubled, "distance": parts.fourth, "penalty": parts.darkness}
    own = {key: f"tests.parts:{thing.__name__}" if by_name else thing for key, thing in own.items()}
    denoiser = Denoiser(Seen(), predict="x0", clock="flow")
    t = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]).double()
    wanted = 2 * (t[:, None] - X0.flatten(1)).pow(4).mean(1) + (X0.flatten(1).mean(1) - t).abs()
    assert torch.allclose(loss(denoiser, X0, LEVEL, eps=EPS, **own), wanted)


@pytest.mark.parametrize("betas", ["tests.parts:tenth", parts.tenth])
def test_a_table_of_betas_of_ones_own(betas):
    assert torch.allclose(Table(betas=betas, steps=10).alphas_cumprod, 0.9 ** torch.arange(1, 11).double())


@pytest.mark.parametrize("spacing", ["tests.parts:last_ones", parts.last_ones])
def test_a_spacing_of_ones_own(spacing):
    table = Table(spacing=spacing, steps=10)
    assert [round(float(table.index(level))) for level in table.levels(3)[:-1]] == [9, 8, 7]


@pytest.mark.parametrize("sampler", ["tests.parts:leap", parts.leap])
def test_a_sampler_of_ones_own(sampler):
    denoise, levels = exact.gaussian(0.5, 0.1), Cosine().levels(4)
    x0 = denoise(X0, levels[0])[0]
    assert torch.equal(walk(sampler, denoise, X0, levels), X0 + (x0 - X0))
    assert torch.equal(walk(sampler, denoise, X0, levels, share=0.5), X0 + 0.5 * (x0 - X0))
    with pytest.raises(Usage, match="leap has no option 'shar'; did you mean 'share'"):
        stepper(sampler, options={"shar": 1})


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Denoiser(Seen(), predict="velocty"), "no prediction type 'velocty'; did you mean 'velocity'"),
        (lambda: Denoiser(Seen(), clock="tests.parts:nothing"), "clock: cannot import tests.parts:nothing"),
        (lambda: Denoiser(Seen(), clock=lambda level: 1.0).check(Flow()(torch.ones(()))), "the clock must give a tensor"),
        (lambda: predict.check(lambda level, data_std: 1.0, Flow()(torch.ones(()))), r"must give two tensors \(a, b\)"),
        (lambda: loss(Denoiser(Seen()), X0, LEVEL, weight="flatt"), "no weight 'flatt'; did you mean 'flat'"),
        (lambda: loss(Denoiser(Seen()), X0, LEVEL, weight=lambda level, c_out, data_std: torch.ones(())), r"gives \(\) where it must give \(5,\)"),
        (lambda: loss(Denoiser(Seen()), X0, LEVEL, distance=lambda a, b: (a - b).mean(1)), r"gives \(5, 4, 4\) where it must give \(5, 1, 4, 4\)"),
        (lambda: loss(Denoiser(Seen()), X0, LEVEL, penalty=lambda a, b: (a - b).mean()), r"gives \(\) where it must give \(5,\)"),
        (lambda: Table(betas=lambda n, start, end: torch.full((n - 1,), 0.1), steps=10), "betas are 10 numbers"),
        (lambda: Table(betas=lambda n, start, end: torch.zeros(n), steps=10), "betas are 10 numbers between 0 and 1.*these are 10, among them 0"),
        (lambda: Table(spacing=lambda n, steps: torch.arange(n)).levels(4), "falling"),
        (lambda: stepper("dppm"), "no sampler 'dppm'; did you mean"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(make, says):
    with pytest.raises(Usage, match=says):
        make()
