"""Every autoencoder: shapes on one to three axes, sides of any length, what a latent costs, published counts of parameters."""

import math

import pytest
import torch
from torch import nn

from fromnoise.autoencoders import AUTOENCODERS
from fromnoise.autoencoders.autoencoder import kl
from fromnoise.autoencoders.vq import FSQ, Codebook
from fromnoise.config import build
from fromnoise.draws import Draws
from fromnoise.errors import Usage
from tests.parts import stirred

SMALL = {
    "conv_ae": {"widths": [8, 16, 24], "latent": 5},
    "conv_vae": {"widths": [8, 12], "latent": 3},
    "kl": {"width": 8, "levels": [1, 2, 2], "blocks": 1, "attention": [1]},
    "tiny": {"width": 8, "blocks": [1, 2, 1]},
    "vq": {"width": 8, "levels": [1, 2], "blocks": 1, "codes": 16},
}
SIDES = {1: (21,), 2: (16, 13), 3: (5, 9, 8)}


def made(name: str, shape: tuple[int, ...], **settings) -> nn.Module:
    torch.manual_seed(0)
    thing = AUTOENCODERS[name]
    made = build(AUTOENCODERS, {"name": name, **SMALL.get(name, {}), **settings}, "autoencoder", **thing.fitting(shape))
    return stirred(made) if name in ("kl", "vq") else made  # whose attention adds nothing at first


@pytest.mark.parametrize("axes", SIDES)
@pytest.mark.parametrize("name", SMALL)
def test_any_side_of_any_number_of_axes_comes_back(name, axes):
    """Also larger ones; z is as large as `latent_shape` says, and each gradient is finite and somewhere not zero."""
    autoencoder = made(name, (2, *SIDES[axes]))
    for scale in (1, 2):
        x = torch.randn(2, 2, *(scale * side for side in SIDES[axes]))
        coded = autoencoder(x, Draws.fixed(2))
        assert coded.x_hat.shape == x.shape and coded.cost.shape == (2,)
        assert coded.z.shape[1:] == autoencoder.latent_shape(x.shape[1:])
        assert coded.z.shape[2:] == tuple(math.ceil(side / autoencoder.factor) for side in x.shape[2:])
        assert autoencoder.decode(coded.z).shape[2:] == tuple(side * autoencoder.factor for side in coded.z.shape[2:])
    ((coded.x_hat - x).square().mean() + coded.cost.mean()).backward()
    for parameter_name, p in autoencoder.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.any(), parameter_name


@pytest.mark.parametrize("name", SMALL)
def test_a_side_that_the_factor_does_not_divide_is_one_with_its_edge_copied(name):
    autoencoder = made(name, (3, 8, 8)).eval()
    x = torch.randn(1, 3, 8, 6)
    whole = torch.cat([x, x[..., -1:].expand(-1, -1, -1, -6 % autoencoder.factor)], 3)
    assert torch.equal(autoencoder.encode(x), autoencoder.encode(whole))
    assert torch.equal(autoencoder.decode(autoencoder.encode(x), (8, 6)), autoencoder.decode(autoencoder.encode(whole))[..., :8, :6])


@pytest.mark.parametrize("name", [*SMALL, "mlp_vae"])
def test_the_last_layer_is_the_decoders(name):
    """A change of it changes what is decoded, and its rows are the channels (values, where they are flattened)."""
    autoencoder = made(name, (3, 8, 8)).eval()
    z = torch.randn(1, *autoencoder.latent_shape((3, 8, 8)))
    before = autoencoder.decode(z)
    assert len(autoencoder.last_layer) == (3 * 8 * 8 if name == "mlp_vae" else 3)
    with torch.no_grad():
        autoencoder.last_layer[0] += 1
    after = autoencoder.decode(z)
    changed = (before != after).flatten(2).any(2) if name != "mlp_vae" else (before != after).flatten(1)[:, :3]
    assert changed.tolist() == [[True, False, False]]


def test_conv_ae_has_the_published_count():
    autoencoder = made("conv_ae", (3, 32, 32), widths=[32, 64, 128], latent=8)
    assert sum(p.numel() for p in autoencoder.parameters()) == 575_627
    assert sum(p.numel() for p in autoencoder.encoder.parameters()) == 287_816
    assert autoencoder.latent_shape((3, 32, 32)) == (8, 8, 8)
    kinds = [type(layer).__name__ for layer in autoencoder.encoder if not isinstance(layer, (nn.GroupNorm, nn.Mish))]
    assert kinds == [*["Conv2d", "Conv2d", "AvgPool2d"] * 2, "Conv2d", "Conv2d"]


def test_conv_ae_standardises_each_example_over_all_its_values():
    autoencoder = made("conv_ae", (3, 16, 16))
    x = torch.randn(3, 3, 16, 16)
    z, plain = autoencoder.encode(x).detach(), made("conv_ae", (3, 16, 16), standardise=False).encode(x)
    for one, raw in zip(z, plain, strict=True):
        assert abs(float(one.mean())) < 1e-5 and abs(float(one.var(correction=0)) - 1) < 1e-3
        assert torch.allclose(one, (raw - raw.mean()) / raw.std(correction=0), atol=1e-3)
    assert autoencoder(x).cost.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("name", "shape"), [("mlp_vae", (1, 6, 6)), ("conv_vae", (1, 8, 8))])
def test_a_variational_autoencoder_costs_its_divergence(name, shape):
    """Against torch.distributions; without draws z is the mean."""
    autoencoder, x = made(name, shape), torch.rand(4, *shape) * 2 - 1
    mean, log_variance = autoencoder.moments(x)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1)
    assert torch.allclose(autoencoder(x).cost, expected, atol=1e-5)
    assert torch.equal(autoencoder(x).z, mean) and torch.equal(autoencoder.encode(x), mean)
    drawn = autoencoder.encode(x[:1].expand(1000, *shape), Draws.fixed(1000))
    assert torch.allclose(drawn.mean(0), mean[0], atol=0.2) and torch.allclose(drawn.std(0), (log_variance[0] / 2).exp(), rtol=0.15)
    assert autoencoder(x).x_hat.abs().max() <= 1


def test_defaults_are_the_published_sizes():
    """Stable Diffusion's, latent diffusion's vq-f4 in millions, and TAESD's encoder counted by hand: 10 blocks of 3 convolutions, 3 of stride 2."""
    with torch.device("meta"):
        kl, vq, tiny = (sum(p.numel() for p in AUTOENCODERS[name]().parameters()) for name in ("kl", "vq", "tiny"))
        encoder = sum(p.numel() for p in AUTOENCODERS["tiny"]().encoder.parameters())
    assert kl == 83_653_863 and round(vq / 1e6, 2) == 55.32
    assert encoder == (3 * 9 + 1) * 64 + 30 * (64 * 9 + 1) * 64 + 3 * 64 * 9 * 64 + (64 * 9 + 1) * 4
    assert tiny - encoder < 1_500_000


def test_mlp_vae_has_the_published_layers():
    """784 -> 400 -> 2 · 20 and 20 -> 400 -> 784, with their biases."""
    autoencoder = made("mlp_vae", (1, 28, 28))
    assert sum(p.numel() for p in autoencoder.parameters()) == (784 * 400 + 400) + (400 * 40 + 40) + (20 * 400 + 400) + (400 * 784 + 784)
    assert autoencoder.latent_shape((1, 28, 28)) == (20,)
    assert autoencoder(torch.zeros(2, 1, 28, 28)).x_hat.shape == (2, 1, 28, 28)
    with pytest.raises(Usage, match="conv_vae"):
        autoencoder.encode(torch.zeros(2, 1, 32, 32))
    assert made("mlp_vae", (6,))(torch.zeros(2, 6)).x_hat.shape == (2, 6)


def test_the_log_variance_does_not_overflow():
    autoencoder = made("conv_vae", (1, 8, 8))
    with torch.no_grad():
        autoencoder.encoder[-1].bias.copy_(torch.tensor([0, 0, 0, 1e4, -1e4, 0]))
    log_variance = autoencoder.moments(torch.zeros(1, 1, 8, 8))[1].detach()
    assert float(log_variance[:, 0].max()) == 20 and float(log_variance[:, 1].min()) == -30


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("conv_ae", {"widths": [8, 12]}, "12 channels do not make 8 groups"),
        ("conv_ae", {"widths": []}, "widths is 1 or more"),
        ("conv_vae", {"widths": [8, 0]}, "widths is 1 or more"),
        ("conv_vae", {"latent": 0}, "latent is 1 or more"),
        ("mlp_vae", {"hidden": 0}, "hidden is 1 or more"),
        ("kl", {"attention": [3]}, "attention names levels 0 to 2"),
        ("kl", {"groups": 3}, "8 channels do not make 3 groups"),
        ("tiny", {"blocks": []}, "levels is 1 or more"),
        ("vq", {"fsq": [8, 1]}, "fsq is 2 or more"),
        ("vq", {"fsq": [8, 5], "latent": 3}, "leave latent out"),
        ("vq", {"codes": 0}, "codes is 1 or more"),
    ],
)
def test_what_cannot_be_built_is_refused(name, settings, words):
    with pytest.raises(Usage, match=words):
        made(name, (3, 8, 8), **settings)


def test_a_codebook_takes_the_nearest_vector_and_lets_gradients_through():
    """Equation 3 of van den Oord et al. 2017, the codes' and the commitment's gradients apart."""
    codebook, z = Codebook(3, 2), torch.tensor([[[0.9, -2.1], [1.2, 0.3]]], requires_grad=True)  # (1, 2, 2): two places
    with torch.no_grad():
        codebook.embedding.weight.copy_(torch.tensor([[1.0, 1.0], [-2.0, 0.0], [9.0, 9.0]]))
    rounded, cost = codebook(z)
    nearest = torch.tensor([[[1.0, -2.0], [1.0, 0.0]]])
    assert torch.allclose(rounded, nearest) and codebook.indices(z.detach()).tolist() == [[0, 1]]
    error = z.detach() - nearest
    assert torch.allclose(cost, 1.25 * error.square().mean().view(1))
    (rounded * torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])).sum().backward(retain_graph=True)
    assert z.grad.tolist() == [[[1.0, 2.0], [3.0, 4.0]]] and codebook.embedding.weight.grad is None
    z.grad = None
    cost.sum().backward()
    assert torch.allclose(z.grad, 0.25 * 2 * error / 4)
    assert torch.allclose(codebook.embedding.weight.grad[:2], -2 * error[0].T / 4) and not codebook.embedding.weight.grad[2].any()


@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [2, 3, 4], [7]])
def test_finite_scalars_are_as_many_as_their_levels_say(levels):
    """Evenly spaced from -1 on, 0 at 0, each a fixed point's image, with the tanh's gradient."""
    z = (torch.linspace(-6, 6, 4001).expand(len(levels), -1)[None]).clone().requires_grad_()
    rounded, cost = FSQ(levels)(z)
    for channel, count in zip(rounded[0], levels, strict=True):
        expected = (torch.arange(count) - count // 2) / (count // 2)
        assert torch.equal(channel.detach().unique(), expected)
        assert channel.diff().min() >= 0 and float(channel[2000].detach()) == 0
    rounded.sum().backward()
    assert z.grad.min() > 0 and z.grad[0, :, 0].max() < z.grad[0, :, 2000].min() and cost.tolist() == [0]


@pytest.mark.parametrize("settings", [{}, {"fsq": [4, 4, 3]}])
def test_vq_diffuses_what_is_not_rounded_and_decodes_what_is(settings):
    autoencoder, x = made("vq", (1, 8, 8), **settings), torch.randn(2, 1, 8, 8)
    z, coded = autoencoder.encode(x), autoencoder(x)
    rounded, cost = autoencoder.quantise(z)
    assert torch.equal(coded.z, z) and torch.equal(coded.cost, cost) and not torch.allclose(z, rounded)
    assert torch.equal(coded.x_hat, autoencoder.decode(z)) and torch.equal(coded.x_hat, autoencoder.decoder(rounded))


def test_tiny_bounds_what_it_decodes():
    autoencoder = made("tiny", (1, 8, 8))
    z = torch.full((1, 4, 2, 2), 60.0)
    assert torch.allclose(autoencoder.decode(z), autoencoder.decode(2 * z)) and not torch.allclose(
        autoencoder.decode(z), autoencoder.decode(z / 60)
    )


def test_a_small_divergence_is_counted_in_half_precision():
    """Of 10,000 values that are each 1e-6 nats off a standard normal one, which bfloat16 alone rounds to nothing."""
    mean, log_variance = torch.zeros(1, 10_000), torch.full((1, 10_000), 0.002)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(0.0, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    ).sum()
    assert float(kl(mean.bfloat16(), log_variance.bfloat16())) == pytest.approx(float(expected), rel=0.05)
