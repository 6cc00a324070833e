"""Text as what is diffused: bits of bytes, which come back exactly, and learnt tokens, which round."""

import math

import pytest
import torch
import torch.nn.functional as F

import fromnoise
from fromnoise.autoencoders import AUTOENCODERS, Measure, loss
from fromnoise.data.dataset import scaled
from fromnoise.draws import Draws
from fromnoise.errors import Usage
from fromnoise.evaluation import latent_page
from fromnoise.model import load_autoencoder
from fromnoise.training import train
from tests.parts import stand_in
from tests.training.test_length import cut_at
from tests.training.test_train import same

BYTES = scaled(torch.arange(256, dtype=torch.uint8).reshape(4, 1, 64))
TOKENS = {"name": "tokens", "width": 32, "latent": 8}


def recipe(**more):
    own = {"steps": 60, "batch": 32, "evals": 2, "log_every": 20, "warmup": 0, "lr": 1e-2, "held_out": 16, "ema": 100}
    return {"data": {"name": "tests.parts:stand_in", "like": "lines"}, "autoencoder": TOKENS, "train": own} | more


@pytest.mark.parametrize("shape", [(1, 64), (3, 5, 7), (2, 2, 3, 4)])
def test_bits_are_of_every_byte_and_come_back_exactly(shape):
    bits = AUTOENCODERS["bits"](**AUTOENCODERS["bits"].fitting(shape))
    x = scaled(torch.randint(256, (3, *shape), dtype=torch.uint8))
    z = bits.encode(x)
    assert z.shape == (3, *bits.latent_shape(shape)) == (3, 8 * shape[0], *shape[1:]) and {*z.unique().tolist()} == {-1.0, 1.0}
    assert torch.equal(bits.decode(z), x)
    assert torch.equal(bits.decode((z + 1.98 * torch.rand_like(z) - 0.99).bfloat16()), x), "any number of the right sign is the bit"


def test_bits_are_written_as_numbers_are():
    z = AUTOENCODERS["bits"]().encode(BYTES)
    for value, written in zip(range(256), z.movedim(1, -1).flatten(0, 1), strict=True):
        assert "".join("1" if bit > 0 else "0" for bit in written) == f"{value:08b}"


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("length", [64, 61])
def test_tokens_are_of_unit_variance_at_every_place(factor, length):
    torch.manual_seed(0)
    tokens, x = AUTOENCODERS["tokens"](width=16, latent=6, factor=factor), BYTES[..., :length]
    z = tokens.encode(x)
    assert z.shape[1:] == tokens.latent_shape((1, length)) == (6, math.ceil(length / factor))
    assert torch.allclose(z.mean(1), torch.zeros(()), atol=1e-5) and torch.allclose(z.var(1, correction=0), torch.ones(()), atol=0.01)
    x_hat = tokens.decode(z, (length,))
    assert x_hat.shape == x.shape and torch.isin(x_hat, BYTES).all()


def test_they_learn_by_the_cross_entropy_of_noisy_latents():
    """Written out: -log softmax of the wanted byte at each place, averaged; the distance has no part in it."""
    torch.manual_seed(0)
    tokens = AUTOENCODERS["tokens"](width=16, latent=6, factor=2, noise=0.3)
    draws, never = Draws.fixed(4), Measure(lambda x_hat, x: pytest.fail("no distance"))
    z = tokens.encode(BYTES)
    noisy = z + 0.3 * draws.of("latent").randn(*z.shape[1:])
    logits = tokens.decoder(noisy).reshape(4, 256, 2, 32)  # of the two bytes of each place
    wanted = torch.arange(256).reshape(4, 32, 2)
    expected = torch.stack([F.cross_entropy(logits[:, :, i], wanted[..., i], reduction="none") for i in (0, 1)]).mean((0, 2))
    assert torch.allclose(loss(tokens, None, BYTES, draws, never), expected, atol=1e-6)
    assert float(loss(tokens, None, BYTES, draws, never).detach().mean()) == pytest.approx(math.log(256), rel=0.05)


def test_a_run_of_tokens_learns_goes_on_bit_for_bit_and_says_what_comes_back(tmp_path, monkeypatch):
    run = train(recipe(), tmp_path / "whole", trust=True, quiet=True)
    cut_at(25, monkeypatch, lambda: train(recipe(), tmp_path / "cut", trust=True, quiet=True))
    train(recipe(), tmp_path / "cut", trust=True, quiet=True)
    assert same(tmp_path / "whole", tmp_path / "cut")
    model, data = load_autoencoder(run.path, "cpu"), stand_in("lines", "test")
    page = latent_page(model, data, 64)
    x = data.get(torch.arange(64))["x"]
    right = (model.reconstruct(x) - x).abs() < 1 / 255
    assert page.exact == pytest.approx((float(right.double().mean()), float(right.flatten(1).all(1).double().mean())))
    assert page.exact[0] > 0.9 and page.turned is None and "% of bytes exact" in page.kept
    assert [row[0] for row in page.cells()[3][:2]] == ["bytes that come back exactly", "whole examples that do"]
    held_out = [entry for entry in run.entries() if "held_out" in entry]
    assert len(held_out) == 2 and 0.9 < held_out[-1]["exact"] <= 1
    diffused = recipe(autoencoder=str(run.path), network={"name": "conv", "width": 8, "kernel": 3}, sample={"name": "ddim", "steps": 2}, self_condition=True)
    drawn = fromnoise.load(train(diffused | {"train": recipe()["train"] | {"steps": 3}}, tmp_path / "run", quiet=True).path, "cpu").sample(3)
    assert drawn.shape == (3, 1, 12) and torch.isin(drawn, BYTES).all()


@pytest.mark.parametrize("key", ["distance", "penalty", "equivariance", "discriminator"])
def test_what_has_no_part_in_it_is_refused(tmp_path, key):
    value = {"distance": "mse", "penalty": "ssim", "equivariance": 0.5, "discriminator": "patch"}[key]
    with pytest.raises(Usage, match=f"train.{key} would do nothing: tokens learns by the cross-entropy"):
        train(recipe(train=recipe()["train"] | {key: value}), tmp_path / "run", quiet=True)


def test_tokens_are_of_text_alone(tmp_path):
    with pytest.raises(Usage, match=r"tokens is of text, \(1, length\) as data=lines gives it, not of \(1, 8, 8\)"):
        train(recipe(data="tests.parts:blobs"), tmp_path / "run", quiet=True)
