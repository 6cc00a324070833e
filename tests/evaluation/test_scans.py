"""The card of scans: distances that are known, in the units of the files."""

import math

import pytest
import torch
from scipy.stats import wasserstein_distance

from fromnoise.data import Tensors
from fromnoise.data.units import Units
from fromnoise.errors import Problem
from fromnoise.evaluation.cards import card_of
from fromnoise.evaluation.metrics.scans import intensity_distance, nearest, radial_distance, radial_spectrum
from fromnoise.evaluation.scans import score_scans


def noise(n=20, channels=1, seed=0):
    return torch.randn(n, channels, 8, 10, 12, generator=torch.Generator().manual_seed(seed))


def test_the_intensity_distance_is_wassersteins_and_a_factor_its_decibels():
    a, b = noise(8), noise(12, seed=1) ** 2
    assert float(intensity_distance(a, b)) == pytest.approx(wasserstein_distance(a.flatten().tolist(), b.flatten().tolist()), rel=0.01)
    x = noise(channels=2)
    assert intensity_distance(x, x + torch.tensor([0.5, -2.0])[:, None, None, None]).tolist() == pytest.approx([0.5, 2.0], abs=1e-6)
    assert radial_distance(x, 10 * x + 3).tolist() == pytest.approx([20, 20], abs=1e-4)


def test_a_plane_wave_has_its_power_in_the_shell_of_its_frequency_whichever_way_it_runs():
    along = torch.arange(16) / 16
    for axis in range(3):
        wave = torch.cos(2 * math.pi * 5 * along).view(*[-1 if i == axis else 1 for i in range(3)]).expand(16, 16, 16)
        assert int(radial_spectrum(wave[None, None])[0].argmax()) == 5 - 1, "the first shell is of one cycle"
    assert radial_spectrum(noise(200))[0].std() < 0.1 * radial_spectrum(noise(200))[0].mean(), "noise is white"
    assert float(radial_spectrum(noise(200)).mean()) == pytest.approx(8 * 10 * 12, rel=0.05), "by Parseval's law"


def test_the_nearest_volume_is_found_and_how_far_it_is():
    data = noise(30)
    assert nearest(data[[3, 7]] + 0.25, data).tolist() == pytest.approx([0.25, 0.25], abs=1e-4)


def test_the_card_is_in_own_units_and_tells_copies_from_new_volumes():
    train, test = (Tensors("volumes", noise(count, seed=seed).clamp(-1, 1)) for count, seed in ((60, 0), (40, 1)))
    for data in (train, test):
        data.medium, data.units = "scans", Units(("0",), (1000.0,), (100.0,), True)
    assert card_of(test.shape, test.medium) is score_scans
    new, copied = noise(30, seed=2).clamp(-1, 1), train.x[:30]
    good, copies, dark = (score_scans(x, train, test) for x in (new, copied, new * 0.5 - 0.5))
    assert good["intensity"].value < 3 and good["spectrum"].value < 0.5
    assert good["nearest"].value == pytest.approx(good["nearest"].floor, rel=0.02) and copies["nearest"].value < 1e-3
    mean = float((test.x - (test.x * 0.5 - 0.5)).mean()) * 100
    assert dark["intensity"].value == pytest.approx(mean, abs=3) and dark["spectrum"].value == pytest.approx(20 * math.log10(2), abs=0.4)
    with pytest.raises(Problem, match="not finite"):
        score_scans(new * math.nan, train, test)
    with pytest.raises(Problem, match="on its own data"):
        score_scans(new[..., :5], train, test)
