"""The spectrum of the page of latents: a wave's power lies in the band of its frequency."""

import math

import pytest
import torch

from fromnoise.evaluation.latents import spectrum


@pytest.mark.parametrize("side", [8, 32, 64, 100])
@pytest.mark.parametrize("axes", [1, 2])
def test_a_wave_is_in_the_band_of_its_frequency(side, axes):
    places = torch.arange(side).reshape(-1, *[1] * (axes - 1)).expand(*[side] * axes)
    bins = min(16, side // 2)
    for cycles in range(1, side // 2 + 1):
        shares = spectrum(5 + torch.cos(2 * math.pi * cycles * places / side)[None, None])[0]
        assert shares.shape == (bins,) and shares.argmax() == max(0, math.floor(2 * cycles / side * bins + 0.5) - 1) and shares.max() > 0.999


def test_white_noise_fills_bands_by_how_many_frequencies_they_hold():
    """Rings of a square grow evenly with their radius: no band stands out against its neighbours."""
    shares = spectrum(torch.randn(400, 1, 32, 32, generator=torch.Generator().manual_seed(0))).mean(0)[:-1]
    density = shares / torch.arange(1, 16)
    assert (density / density.mean()).log().abs().max() < math.log(1.3)
