"""The card of signals: distances that are known, each in the units of its channel, and the law of heartbeats."""

import math

import pytest
import torch

from fromnoise.data.sets.heartbeats import Heartbeats
from fromnoise.data.units import Units
from fromnoise.errors import Problem
from fromnoise.evaluation.cards import card_of
from fromnoise.evaluation.metrics.signals import (
    autocorrelation,
    autocorrelation_distance,
    power_spectrum,
    quantile_distance,
    spectrum_distance,
)
from fromnoise.evaluation.signals import score_signals


def waves(n=50, length=64, cycles=8, seed=0):
    phase = torch.rand(n, 1, generator=torch.Generator().manual_seed(seed)) * 2 * math.pi
    return torch.sin(phase + 2 * math.pi * cycles * torch.arange(length) / length)[:, None]


def test_a_shift_is_the_quantile_distance_and_a_factor_its_decibels():
    x = torch.randn(200, 2, 64, generator=torch.Generator().manual_seed(0))
    assert quantile_distance(x, x + torch.tensor([[0.5], [-2.0]])).tolist() == pytest.approx([0.5, 2.0], abs=1e-6)
    assert spectrum_distance(x, 10 * x).tolist() == pytest.approx([20, 20], abs=1e-4)
    assert autocorrelation_distance(x, 3 * x + 1).max() < 1e-6, "neither mean nor scale changes it"


def test_a_wave_has_its_power_at_its_frequency_and_its_period_in_the_autocorrelation():
    x = waves()
    assert int(power_spectrum(x)[0].argmax()) == 8
    found = autocorrelation(x)[0]
    lags = torch.arange(33).double()
    assert torch.allclose(found, torch.cos(2 * math.pi * lags / 8) * (64 - lags) / 64, atol=0.03)


def test_real_heartbeats_reach_the_floor_and_those_that_are_off_are_found_in_percent():
    train, test = Heartbeats(count=300), Heartbeats(count=150, split="test")
    good = Heartbeats(count=100, seed=5).get(torch.arange(100))["x"]
    louder = test.units.normalised(1.2 * test.units.undone(test.get(torch.arange(150))["x"]))
    score = card_of(test.shape, test.medium)
    assert score is score_signals
    near, far = score(good, train, test, 0), score(louder, train, test, 0)
    assert far["amplitude, mean apart, %"].value == pytest.approx(20, abs=0.1) and far["amplitude, spread apart, %"].value == pytest.approx(20, abs=0.1)
    assert far["period, mean apart, %"].value < 0.01 and far["noise, mean apart, %"].value == pytest.approx(20, abs=0.1)
    assert near["amplitude, mean apart, %"].value < 6 and near["autocorrelation distance"].value < 0.03
    assert far["spread"].value == pytest.approx(1.2 * far["spread"].floor, rel=1e-4)
    with pytest.raises(Problem, match="not finite"):
        score(good * math.inf, train, test, 0)
    with pytest.raises(Problem, match="on its own data"):
        score(good[..., :64], train, test, 0)


def test_figures_are_in_the_units_of_the_channels_and_bear_their_names():
    from fromnoise.data import Tensors

    data = Tensors("mine", torch.cat([waves(40), waves(40, cycles=4)], 1))
    data.medium, data.units = "signals", Units(("flow", "level"), (100.0, 0.0), (5.0, 0.1))
    card = score_signals(data.x[:20], data, data)
    assert card["mean, flow"].value == pytest.approx(100, abs=0.2) and card["spread, level"].value == pytest.approx(0.1 / math.sqrt(2), rel=0.01)
    assert "period, mean" not in [row.metric for row in card.rows] and "flow, level" in card.protocol
