"""Tiles: the same answer as without them where that can be, and how far off where it cannot."""

import pytest
import torch
from torch import nn

from fromnoise.autoencoders import KL, MLPVAE, ConvAE, ConvVAE, Tiled, Tiny
from fromnoise.autoencoders.tiling import cuts, reach, shares
from fromnoise.errors import Usage
from tests.parts import stirred

KL_SMALL = {"width": 8, "levels": (1, 2), "blocks": 1}
EXACT = {  # and a tile that is hardly longer than what neighbours must share
    "tiny": (lambda axes: Tiny(2, axes, 4, (0, 1)), 30),
    "conv_vae": (lambda axes: ConvVAE(2, axes, (4, 6)), 33),
    "conv_ae": (lambda axes: ConvAE(2, axes, (8, 16)), 24),
    "conv_ae in patches": (lambda axes: ConvAE(2, axes, (8,), patch=2), 24),
    "kl": (lambda axes: KL(2, axes, **KL_SMALL, middle=False), 52),
}
SIDES = {1: (171,), 2: (90, 41), 3: (34, 9, 8)}


def scene(axes: int) -> torch.Tensor:
    """A picture whose parts are unlike each other."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 2, *SIDES[axes], generator=generator, dtype=torch.float64)
    return x * torch.linspace(0, 2, SIDES[axes][0], dtype=torch.float64).view(-1, *[1] * (axes - 1)) + 1


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The root of the mean square difference, in the answer's own deviations."""
    return float(((found - expected).square().mean().sqrt() / expected.std()).detach())


def both(autoencoder: nn.Module, tiled: Tiled, x: torch.Tensor) -> tuple[float, float]:
    with torch.no_grad():
        z = autoencoder.encode(x)
        return off(tiled.encode(x), z), off(tiled.decode(z, x.shape[2:]), autoencoder.decode(z, x.shape[2:]))


@pytest.mark.parametrize("axes", SIDES)
@pytest.mark.parametrize("name", EXACT)
def test_tiles_are_exact_where_layers_look_at_neighbourhoods_or_norms_are_of_the_whole(name, axes):
    torch.manual_seed(0)
    made, tile = EXACT[name]
    autoencoder, x = stirred(made(axes)).double(), scene(axes)
    assert max(both(autoencoder, Tiled(autoencoder, tile), x)) < 1e-10
    assert max(both(autoencoder, Tiled(autoencoder, tile + 9, tile - 3), x)) < 1e-10


def test_less_overlap_is_blended_and_only_a_little_off():
    """Less so than where neighbours share nothing."""
    torch.manual_seed(0)
    autoencoder, x = stirred(ConvVAE(2, 2, (4, 6))).double(), scene(2)
    some, none = (both(autoencoder, Tiled(autoencoder, 32, overlap), x) for overlap in (12, 0))
    assert 0 < max(some) < min(none) / 2


def test_a_norm_of_each_tile_or_attention_is_another_picture():
    torch.manual_seed(0)
    autoencoder, x = stirred(KL(2, **KL_SMALL)).double(), scene(2)
    own, whole = (max(both(autoencoder, Tiled(autoencoder, 40, 16, whole), x)) for whole in (False, True))
    assert 1e-6 < whole < own / 2


@pytest.mark.parametrize("side", [5, 16, 17, 40, 101])
@pytest.mark.parametrize(("tile", "overlap", "exact"), [(16, 8, False), (16, 5, False), (16, 0, False), (16, 12, True), (16, 7, True)])
def test_shares_of_a_place_sum_to_one(side, tile, overlap, exact):
    total = torch.zeros(side)
    for a, b in cuts(side, tile, overlap):
        assert b - a <= tile
        total[a:b] += shares(b - a, overlap, a > 0, b < side, exact)
    assert torch.allclose(total, torch.ones(side))


@pytest.mark.parametrize("axis", [-1, -2])
def test_reach_is_what_gradients_see(axis):
    """Of a decoder's answer in the middle, and of an encoder's, with activations that let every gradient through."""
    torch.manual_seed(0)
    autoencoder = stirred(ConvVAE(1, 2, (4, 6))).double()
    for network, channels, factor in ((autoencoder.encoder, 1, 4), (autoencoder.decoder, 4, 1)):
        x = torch.randn(1, channels, 64, 64, dtype=torch.float64, requires_grad=True)
        y = network(x)
        seen = []
        for place in range(y.shape[axis] // 2, y.shape[axis] // 2 + 4):
            (gradient,) = torch.autograd.grad(y.select(axis, place).sum(), x, retain_graph=True)
            places = gradient.transpose(axis, -1).flatten(0, -2).any(0).nonzero().flatten()
            here = place * factor * x.shape[axis] // (y.shape[axis] * factor)
            seen += [here - int(places.min()), int(places.max()) - here]
        assert max(seen) == -int(-reach(network) // 1)


def test_attention_reaches_everywhere():
    assert reach(KL(**KL_SMALL, middle=True).encoder) == float("inf") > reach(KL(**KL_SMALL, middle=False).encoder)


def test_what_cannot_be_tiled_is_refused():
    with pytest.raises(Usage, match="no places that tiles could share"):
        Tiled(MLPVAE((1, 8, 8)))
    with pytest.raises(Usage, match="tiles of 32 pixels may share up to 16 of them, not 20"):
        Tiled(KL(**KL_SMALL), 32, 20).encode(torch.zeros(1, 3, 64, 64))
    assert Tiled(KL(**KL_SMALL), 32, 20).encode(torch.zeros(1, 3, 32, 32)).shape == (1, 4, 16, 16)
