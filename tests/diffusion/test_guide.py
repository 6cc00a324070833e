import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import nn

from fromnoise.diffusion import Bound, Cosine, Denoiser, Flow, Level, Table, clip, guided, predict, rescale_guidance, threshold
from fromnoise.networks import Context
from fromnoise.samplers import walk

X = torch.randn(5, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def toy(slope: float):
    """A denoiser of no merit, but consistent."""

    def denoise(x, level):
        x0 = torch.tanh(slope * x)
        return x0, level.eps(x, x0)

    return denoise


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x, clock, context=None):
        self.calls.append(len(x))
        return torch.sin(x + clock[:, None, None, None] + context.vector[:, :1, None, None])


def test_scale_1_is_the_strong_and_0_the_weak_denoiser():
    level = Cosine()(torch.tensor(0.4))
    assert guided(toy(1), toy(2), 1) is not None
    for scale, alone in ((1.0, toy(1)), (0.0, toy(2))):
        for found, expected in zip(guided(toy(1), toy(2), scale)(X, level), alone(X, level), strict=True):
            assert torch.allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [-1.0, 0.0, 0.5, 4.0])
def test_guidance_moves_eps_as_the_paper_says_and_still_makes_x(scale):
    """(1 + w) eps(z, c) - w eps(z) with w = scale - 1 (Ho & Salimans 2022, eq. 6)."""
    level, w = Cosine()(torch.tensor(0.6)), scale - 1
    x0, eps = guided(toy(1), toy(2), scale)(X, level)
    assert torch.allclose(eps, (1 + w) * toy(1)(X, level)[1] - w * toy(2)(X, level)[1])
    assert torch.allclose(level.mix(x0, eps), X)


class Told(nn.Module):
    """A network that hears a vector, tokens, or nothing."""

    def forward(self, x, clock, context=None):
        told = 0.0 if context is None or context.vector is None else context.vector[:, :1, None, None]
        return torch.sin(x + clock[:, None, None, None] + told)


@pytest.mark.parametrize("weak", [None, Context(), Context(vector=torch.full((5, 4), 2.0).double())], ids=["none", "empty", "vector"])
@pytest.mark.parametrize("strong", [None, Context(), Context(vector=torch.ones(5, 4).double())], ids=["none", "empty", "vector"])
@pytest.mark.parametrize("levels", [torch.tensor(0.3), torch.linspace(0.2, 0.8, 5)], ids=["one", "each"])
def test_a_context_on_one_side_only_is_heard(strong, weak, levels):
    denoiser = Denoiser(Told())
    level = Cosine()(levels.double())
    both = [Bound(denoiser, context) for context in (strong, weak)]
    found = guided(*both, 3.0, high=100)(X, level)
    apart = [bound(X, level) for bound in both]
    for value, a, b in zip(found, *apart, strict=True):
        assert torch.allclose(value, b + 3 * (a - b), rtol=1e-10)


def test_one_pass_equals_two():
    network = Net()
    denoiser = Denoiser(network)
    strong, weak = (Bound(denoiser, Context(vector=torch.randn(5, 4, dtype=torch.float64))) for _ in range(2))
    level = Cosine()(torch.tensor(0.3))
    once = guided(strong, weak, 3.0)(X, level)
    assert network.calls == [10]
    twice = guided(lambda x, level: strong(x, level), weak, 3.0)(X, level)
    assert network.calls == [10, 5, 5]
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(once, twice, strict=True))


def test_autoguidance_asks_two_networks():
    good, bad = Net(), Net()
    context = Context(vector=torch.zeros(5, 1))
    guided(Bound(Denoiser(good), context), Bound(Denoiser(bad), context), 2.0)(X, Cosine()(torch.tensor(0.3)))
    assert good.calls == bad.calls == [5]


def test_scale_1_costs_one_pass():
    network = Net()
    bound = Bound(Denoiser(network), Context(vector=torch.zeros(5, 1)))
    guided(bound, Bound(bound.denoiser, Context(vector=torch.ones(5, 1))), 1.0)(X, Cosine()(torch.tensor(0.3)))
    assert network.calls == [5]


@pytest.mark.parametrize(("noise", "acts"), [(0.4, False), (0.5, False), (0.51, True), (2.0, True), (2.01, False)])
def test_guidance_acts_in_its_interval_of_sigma_over_alpha(noise, acts):
    level = Level(torch.tensor(0.5).double(), torch.tensor(0.5 * noise).double())
    found = guided(toy(1), toy(2), 3.0, low=0.5, high=2.0)(X, level)[0]
    assert torch.equal(found, toy(1)(X, level)[0]) != acts


def test_guidance_without_an_interval_acts_at_pure_noise():
    pure = Flow()(torch.tensor(1.0))
    assert not torch.allclose(guided(toy(1), toy(2), 3.0)(X, pure)[0], toy(1)(X, pure)[0])


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_rescale_is_the_published_one_where_the_mean_is_zero(share):
    """Lin et al. 2023, eqs. 14 to 16: x_rescaled = x_cfg std(x_pos) / std(x_cfg), x_final = φ x_rescaled + (1 - φ) x_cfg."""
    x_cfg, x_pos = (x - x.mean((1, 2, 3), keepdim=True) for x in (X, torch.tanh(3 * X)))
    rescaled = torch.stack([cfg * pos.std() / cfg.std() for cfg, pos in zip(x_cfg, x_pos, strict=True)])
    assert torch.allclose(rescale_guidance(x_cfg, x_pos, share), share * rescaled + (1 - share) * x_cfg, rtol=1e-12)


def test_rescaled_guidance_has_the_brightness_and_contrast_of_the_strong_denoiser_and_still_makes_x():
    level = Cosine()(torch.tensor(0.6))
    x0, eps = guided(toy(1), toy(2), 5.0, rescale=1.0)(X + 1, level)
    plain, strong = guided(toy(1), toy(2), 5.0)(X + 1, level)[0], toy(1)(X + 1, level)[0]
    over = (1, 2, 3)
    assert torch.allclose(x0.mean(over), strong.mean(over)) and torch.allclose(x0.std(over), strong.std(over))
    assert not torch.allclose(plain.std(over), strong.std(over), rtol=0.1)
    for one, other in zip(x0, plain, strict=True):  # the picture itself is the guided one, up to brightness and contrast
        assert torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1] == pytest.approx(1)
    assert torch.allclose(level.mix(x0, eps), X + 1)


def test_rescale_of_an_even_picture_is_finite():
    assert torch.isfinite(rescale_guidance(torch.ones(2, 1, 4, 4), X[:2, :1, :1, :1].float().expand(2, 1, 4, 4))).all()


def test_clip_holds_x0_and_either_eps():
    level = Cosine()(torch.tensor(0.5))
    loud = lambda x, level: (3 * x, level.eps(x, 3 * x))  # noqa: E731
    x0, eps = clip(loud)(X, level)
    assert x0.abs().max() == 1 and torch.allclose(level.mix(x0, eps), X)
    x0, eps = clip(loud, bound=0.5, keep_eps=True)(X, level)
    assert x0.abs().max() == 0.5 and torch.equal(eps, loud(X, level)[1])


WEIGHTS = torch.randn(18, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.3


def network(x, index):
    return 1.5 * torch.tanh(x.flatten(1) @ WEIGHTS + 0.001 * index).reshape(x.shape)


def diffusers_walk(scheduler, x, n, **options):
    scheduler.set_timesteps(n)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t), t, x, **options).prev_sample
    return x


@pytest.mark.parametrize("keep_eps", [True, False])
def test_clip_is_that_of_diffusers_ddim(keep_eps):
    peer = DDIMScheduler(clip_sample=True, timestep_spacing="trailing")
    table = Table(betas=lambda *_: peer.betas, spacing="trailing")
    ours = clip(lambda x, level: predict.solve("eps", level, x, network(x, table.index(level))), keep_eps=keep_eps)
    expected = diffusers_walk(peer, X, 20, use_clipped_model_output=not keep_eps)
    assert torch.allclose(walk("ddim", ours, X, table.levels(20)), expected, rtol=1e-5, atol=1e-5)


def test_clip_is_that_of_diffusers_ddpm():
    peer = DDPMScheduler(clip_sample=True)
    table = Table(betas=lambda *_: peer.betas)
    ours = clip(lambda x, level: predict.solve("eps", level, x, network(x, table.index(level))))
    draw = [torch.Generator().manual_seed(2) for _ in range(2)]
    expected = diffusers_walk(peer, X, 20, generator=draw[0])
    found = walk("ddpm", ours, X, table.levels(20), randn=lambda x: torch.randn(x.shape, generator=draw[1], dtype=x.dtype))
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [0.3, 3.0])
def test_threshold_is_that_of_diffusers(size):
    peer = DDPMScheduler(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=1e9)
    x0 = size * X * torch.arange(1, 6).double()[:, None, None, None]
    level = Cosine()(torch.tensor(0.5))
    found, eps = threshold(lambda x, level: (x0, x), share=0.9)(X, level)
    assert torch.allclose(found, peer._threshold_sample(x0), atol=1e-6)
    assert torch.allclose(level.mix(found, eps), X)
    assert found.abs().max() <= 1


def test_threshold_leaves_a_picture_in_range_alone():
    level, quiet = Cosine()(torch.tensor(0.5)), torch.tanh(X)
    assert torch.allclose(threshold(lambda x, level: (quiet, x))(X, level)[0], quiet)
