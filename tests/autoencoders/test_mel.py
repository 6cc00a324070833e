"""Log-mel spectrograms: filters and spectra of an independent library, Griffin-Lim by what it may not change and how near it comes, the way there and back."""

import math

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from fromnoise.autoencoders import AUTOENCODERS
from fromnoise.autoencoders.mel import Mel
from fromnoise.config import build
from fromnoise.errors import Usage
from fromnoise.networks.layers import spectrum
from fromnoise.networks.layers.spectrum import FLOOR, griffin_lim, hertz, istft, magnitudes, mel, mel_filters, stft

RATE, WINDOW, HOP, LENGTH = 8000, 256, 64, 4096


def voice(count=2):
    """Harmonics of a gliding pitch that swell and fade, with some breath, (count, LENGTH)."""
    t = torch.arange(LENGTH, dtype=torch.float64) / RATE
    made = []
    for i in range(count):
        phase = 2 * math.pi * (100 + 30 * i) * (t + 0.2 * t**2)
        made.append(sum(torch.sin(k * phase) / k for k in range(1, 12)) * torch.sin(math.pi * t / t[-1]) ** 2 / 4)
    breath = torch.randn(count, LENGTH, generator=torch.Generator().manual_seed(0)).double()
    return (torch.stack(made) + 0.003 * breath).float()


def off(found, wanted):
    """Spectral convergence in dB: the error's norm by the spectrum's (Sturmel & Daudet 2011)."""
    return float(20 * torch.log10((found - wanted).norm() / wanted.norm()))


@pytest.mark.parametrize(("rate", "mels", "window"), [(8000, 40, 256), (22050, 80, 1024)])
def test_filters_are_those_of_an_independent_library(rate, mels, window):
    theirs = mel_filter_bank(window + 1, mels, 0.0, rate / 2, rate, norm=None, mel_scale="htk")
    ours = mel_filters(rate, mels, window)
    assert np.abs(ours.T.numpy() - theirs).max() < 1e-5
    f, middles = torch.linspace(0, rate / 2, window + 1), hertz(torch.linspace(0, float(mel(torch.tensor(rate / 2))), mels + 2))[1:-1]
    between = (f >= middles[0]) & (f <= middles[-1])
    assert torch.allclose(ours.sum(0)[between], torch.ones(int(between.sum())), atol=1e-5)


def test_the_scale_is_the_formula_and_its_inverse():
    """1000 Hz are 1000 mel, which is how the scale is made."""
    assert float(mel(torch.tensor(1000.0))) == pytest.approx(1000, abs=0.02)
    f = torch.linspace(0, 20_000, 100, dtype=torch.float64)
    assert torch.allclose(hertz(mel(f)), f)


def test_spectrograms_are_those_of_an_independent_library():
    (x,) = voice(1)
    hann = window_function(WINDOW, "hann", periodic=True)
    theirs = spectrogram(x.double().numpy(), hann, WINDOW, HOP, 2 * WINDOW, 1.0, pad_mode="constant",
                         mel_filters=mel_filters(RATE, 40, WINDOW).double().T.numpy(), mel_floor=0)  # fmt: skip
    z = Mel(RATE, mels=40, window=WINDOW, hop=HOP).encode(x[None, None])
    assert z.shape == (1, 1, 40, LENGTH // HOP)
    wanted = np.log(np.maximum(theirs[:, :-1] / (WINDOW / 4), FLOOR))
    assert np.abs(z[0, 0].numpy() - wanted).max() < 1e-2


def test_a_spectrum_is_of_one_signal_alone_and_a_sine_of_amplitude_one_has_a_peak_of_one():
    x = voice()
    assert torch.allclose(istft(stft(x, WINDOW, HOP), WINDOW, HOP), x, atol=1e-5)
    sine = torch.sin(2 * math.pi * 1000 * torch.arange(LENGTH) / RATE)[None]  # at the middle of a bin
    assert float(stft(sine, WINDOW, HOP).abs()[0, :, 10:-10].amax()) == pytest.approx(1 / 1, rel=1e-3)


def test_griffin_lim_leaves_a_spectrum_that_is_one_as_it_is():
    x = voice()
    c = stft(x, WINDOW, HOP)
    for iterations in (0, 5):
        assert torch.allclose(griffin_lim(c.abs(), WINDOW, HOP, iterations, c.angle()), x, atol=1e-4)


def test_griffin_lim_comes_near_from_any_phase_and_its_momentum_is_why(monkeypatch):
    wanted = stft(voice(), WINDOW, HOP).abs()

    def reached(iterations):
        return off(stft(griffin_lim(wanted, WINDOW, HOP, iterations), WINDOW, HOP).abs(), wanted)

    few, many = reached(10), reached(100)
    assert many < -25 and many < few - 5
    monkeypatch.setattr(spectrum, "MOMENTUM", 0.0)
    assert reached(100) > many + 3


def test_magnitudes_have_their_bands_and_are_never_negative():
    filters, s = mel_filters(RATE, 40, WINDOW), stft(voice(), WINDOW, HOP).abs()
    bands = filters @ s
    found = magnitudes(bands, filters)
    assert found.min() >= 0 and off(filters @ found, bands) < -40
    assert (found - s).norm() < 0.3 * s.norm()


@pytest.mark.parametrize("frequency", [200.0, 1000.0, 3000.0])
def test_a_sines_frequency_and_level_survive(frequency):
    x = 0.3 * torch.sin(2 * math.pi * frequency * torch.arange(LENGTH) / RATE)[None, None]
    made = AUTOENCODERS["mel"](RATE, mels=64, window=WINDOW, hop=HOP)
    y = made.decode(made.encode(x), [LENGTH])
    middle = y[0, 0, 512:-512] * torch.hann_window(LENGTH - 1024)
    found = float(torch.fft.rfft(middle).abs().argmax() * RATE / len(middle))
    step = float(mel(torch.tensor(RATE / 2))) / 65
    assert abs(mel(torch.tensor(found)) - mel(torch.tensor(frequency))) < 0.75 * step, "within the band that it is in"
    assert float(y[..., 512:-512].square().mean().sqrt()) == pytest.approx(0.3 / math.sqrt(2), rel=0.25)


def test_when_a_sound_begins_survives_within_two_hops():
    x = torch.zeros(1, 1, LENGTH)
    x[..., 2000:2400] = 0.5 * torch.randn(400, generator=torch.Generator().manual_seed(1))
    made = Mel(RATE, window=WINDOW, hop=HOP)
    loud = (made.decode(made.encode(x))[0, 0].abs() > 0.1).nonzero()
    assert abs(int(loud.min()) - 2000) <= 2 * HOP and abs(int(loud.max()) - 2400) <= 2 * HOP


def test_there_and_back_keeps_the_latents_the_batch_and_silence():
    made = Mel(RATE, mels=40, window=WINDOW, hop=HOP)
    x = torch.cat([voice(3), torch.zeros(1, LENGTH)])[:, None]
    z = made.encode(x)
    y = made.decode(z, [LENGTH])
    assert y.shape == x.shape and torch.isfinite(y).all()
    assert y[3].abs().max() < 1e-3 and (made.encode(y) - z)[:3].abs().mean() < 0.2
    assert torch.allclose(made.decode(z[1:2], [LENGTH]), y[1:2], atol=1e-4) and torch.equal(made.decode(z, [LENGTH]), y)
    loud = made.decode(torch.full_like(z, 1e4))
    assert torch.isfinite(loud).all(), "however far a sample is off"


def test_any_length_and_any_number_of_channels_is_a_whole_number_of_eights():
    made = build(AUTOENCODERS, {"name": "mel", "rate": RATE, "mels": 20, "window": 64, "hop": 16}, "autoencoder", **Mel.fitting((2, 100)))
    for length in (100, 128, 129):
        x = torch.rand(3, 2, length) - 0.5
        z = made.encode(x)
        assert z.shape == (3, *made.latent_shape((2, length))) == (3, 2, 20, 8 if length < 129 else 16)
        assert made.decode(z, [length]).shape == x.shape


def test_what_lies_in_a_hole_changes_no_frame_outside():
    made, x, mask = Mel(RATE, mels=20, window=64, hop=16), voice(1)[:, None], torch.zeros(1, 1, LENGTH)
    mask[..., 1000:1300] = 1
    z, other = made.encode(x), made.encode(torch.where(mask > 0, torch.rand_like(x), x))
    holes = made.holes(mask, z.shape[2:])
    assert holes.shape == (1, 1, 20, LENGTH // 16) and holes.unique().tolist() == [0, 1]
    assert torch.equal(z[holes == 0], other[holes == 0]) and not torch.allclose(z[holes == 1], other[holes == 1])
    assert 300 / 16 <= int(holes[0, 0, 0].sum()) <= (300 + 64) / 16 + 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"window": 63}, "window is even, and hop half of it at most"),
        ({"window": 64, "hop": 40}, "window is even, and hop half of it at most"),
        ({"mels": 100, "window": 64, "hop": 16}, "100 mel bands of 8000 Hz are narrower than a window of 64 samples can tell apart; take fewer, or a longer"),
        ({"rate": 8}, "rate is a whole number from 100"),
    ],
)
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(Usage, match=says):
        build(AUTOENCODERS, {"name": "mel", "rate": RATE} | settings, "autoencoder")


def test_pictures_are_no_sounds():
    with pytest.raises(Usage, match=r"mel is of sounds \(channels, samples\), and these are \(1, 28, 28\)"):
        Mel.fitting((1, 28, 28))
