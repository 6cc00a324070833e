"""Heartbeats obey their law, and it is read back from them."""

import math

import numpy as np
import pytest
import torch

from fromnoise.data import DATASETS
from fromnoise.data.inspect.signals import period
from fromnoise.data.sets.heartbeats import AMPLITUDE, NOISE, PERIOD, UNITS, WAVES, Heartbeats, beat, beats_of


def pulses(period, amplitude, first, noise=0.0, length=128, seed=0):
    """Beats as they are taught: every R wave at first + k · period, each wave a Gaussian in time beside it."""
    time, x = np.arange(length), np.zeros(length)
    for k in range(-2, 12):
        for place, height, width in WAVES:
            at = first + (k + place / (2 * math.pi)) * period
            x += amplitude * height * np.exp(-0.5 * ((time - at) / (width * period / (2 * math.pi))) ** 2)
    return torch.from_numpy(x + noise * np.random.default_rng(seed).normal(size=length))[None]


@pytest.mark.parametrize(("beats", "height", "first"), [(24.0, 1.0, 3.0), (31.7, 0.8, 11.3), (47.9, 1.6, 40.2), (20.5, 2.5, 0.0), (61.3, 0.3, 30.7)])
def test_period_height_and_phase_are_read_from_pulses_of_another_hand(beats, height, first):
    found = beats_of(pulses(beats, height, first))
    assert float(found.period) == pytest.approx(beats, rel=2e-4) and float(found.amplitude) == pytest.approx(height, rel=2e-3)
    assert abs(math.remainder(float(found.phase) + 2 * math.pi * first / beats, 2 * math.pi)) < 1e-2 and float(found.noise) < 2e-3


def test_noise_is_read_as_what_is_left():
    found = beats_of(torch.cat([pulses(30 + i / 3, 1.0, i, 0.03, seed=i) for i in range(30)]))
    assert float(found.noise.mean()) == pytest.approx(0.03, rel=0.03)
    assert (found.period / (30 + torch.arange(30) / 3) - 1).abs().max() < 0.005


def test_the_law_is_read_back_within_a_percent():
    data, rows = Heartbeats(count=60), torch.arange(60)
    true, found = data.drawn(rows)[0], beats_of(UNITS.undone(data.get(rows)["x"])[:, 0])
    assert (found.period / true.period - 1).abs().max() < 0.01 and (found.amplitude / true.amplitude - 1).abs().median() < 0.01
    for name in ("period", "amplitude"):
        assert float(getattr(found, name).mean()) == pytest.approx(float(getattr(true, name).mean()), rel=0.005)
    assert float(found.noise.mean()) == pytest.approx(float(true.noise.mean()), rel=0.05)


def test_laws_are_uniform_and_a_signal_is_a_function_of_seed_and_number():
    data, rows = Heartbeats(count=500), torch.arange(500)
    true = data.drawn(rows)[0]
    for values, (low, high) in ((true.period, PERIOD), (true.amplitude, AMPLITUDE), (true.noise, NOISE)):
        assert low <= values.min() and values.max() <= high and float(values.mean()) == pytest.approx((low + high) / 2, rel=0.05)
        assert float(values.std()) == pytest.approx((high - low) / math.sqrt(12), rel=0.08)
    x, some = data.take(rows)["x"], torch.tensor([7, 3])
    assert torch.equal(Heartbeats(count=9).take(some)["x"], x[some]) and not torch.equal(Heartbeats(seed=1).take(some)["x"], x[some])
    assert not torch.equal(Heartbeats(split="test").take(some)["x"], x[some])
    assert abs(float(x.mean())) < 0.05 and abs(float(x.std()) - 1) < 0.05
    assert torch.equal(data.labels(rows), (true.period <= 36).long()) and data.classes == ("slow", "fast") and DATASETS["heartbeats"](labels=False).keys == ()


def test_a_beat_is_highest_at_phase_0_and_comes_back():
    phase = torch.linspace(-math.pi, math.pi, 2001, dtype=torch.float64)
    assert abs(float(phase[beat(phase).argmax()])) < 0.01 and torch.allclose(beat(phase), beat(phase + 2 * math.pi))


@pytest.mark.parametrize("true", [7.3, 20.0, 41.6])
def test_the_dominant_period_of_any_signal_is_found(true):
    t = np.arange(400)
    wave = np.sin(2 * np.pi * t / true) + 0.4 * np.sin(4 * np.pi * t / true + 1) + 3
    assert period(wave + 0.1 * np.random.default_rng(0).normal(size=400)) == pytest.approx(true, rel=0.01)
    assert period(np.random.default_rng(0).normal(size=400)) == 0 and period(np.ones(50)) == 0 and period(t.astype(float)) == 0
