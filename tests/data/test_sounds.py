"""Sounds: files of every kind that is read, their splits and classes, what is done to them, and what is said of bad ones."""

import math
import re
import sys
import wave

import numpy as np
import pytest
import torch

from fromnoise.data import DATASETS
from fromnoise.data.dataset import Seen
from fromnoise.errors import Problem, Usage
from fromnoise.networks.layers.spectrum import hertz, mel

RATE = 8000


def sine(frequency=440.0, seconds=0.5, rate=RATE, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(path, x, rate=RATE, width=2):
    """x (L,) or (C, L) in [-1, 1] as wav of 8 * width bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x = np.atleast_2d(x)
    whole = np.round(x.T * (2 ** (8 * width - 1) - 1)).astype(np.int64) + (128 if width == 1 else 0)
    with wave.open(str(path), "wb") as file:
        file.setparams((len(x), width, rate, 0, "NONE", ""))
        file.writeframes(np.ascontiguousarray(whole.astype("<i8")).view(np.uint8).reshape(-1, 8)[:, :width].tobytes())
    return path


def sound(path, **settings):
    return DATASETS["sound"](str(path), **{"rate": RATE, "seconds": 0.5, "held_out": 0, **settings})


def x_of(data):
    return data.get(torch.arange(len(data)))["x"]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_whole_numbers_of_every_width_are_read_without_any_library(tmp_path, monkeypatch, width):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    write(tmp_path / "a.wav", sine(), width=width)
    x = x_of(sound(tmp_path))
    assert x.shape == (1, 1, 4000) and x.dtype == torch.float32
    assert np.abs(x[0, 0].numpy() - sine()).max() < 1.5 / 2 ** (8 * width - 1) + 1e-6


@pytest.mark.parametrize(("ending", "subtype", "apart"), [("flac", "PCM_16", 1e-4), ("wav", "FLOAT", 1e-7), ("aiff", "PCM_24", 1e-6), ("ogg", "VORBIS", 0.05)])
def test_other_files_are_read_by_soundfile(tmp_path, monkeypatch, ending, subtype, apart):
    import soundfile

    both = np.stack([sine(440), sine(880)], 1)
    soundfile.write(tmp_path / f"a.{ending}", both, RATE, subtype=subtype)
    x = x_of(sound(tmp_path))
    assert x.shape == (1, 2, 4000) and np.abs(x[0, :, 200:-200].numpy() - both.T[:, 200:-200]).max() < apart
    assert torch.allclose(x_of(sound(tmp_path, mono=True))[0, 0], x[0].mean(0))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(Problem, match=rf'^a\.{ending} needs soundfile; run pip install "fromnoise\[sound\]", or convert it to wav of 16 bits$'):
        sound(tmp_path)


def test_short_sounds_have_silence_behind_and_of_long_ones_the_middle_is_kept(tmp_path):
    write(tmp_path / "long.wav", np.arange(6000) / 8000)
    write(tmp_path / "short.wav", np.full(1000, 0.5))
    data = sound(tmp_path)
    long, short = x_of(data)[:, 0]
    assert torch.allclose(long, torch.arange(1000, 5000) / 8000, atol=1e-4)
    assert torch.allclose(short[:1000], torch.tensor(0.5), atol=1e-4) and short[1000:].eq(0).all()
    assert data.left_out == ("1 sounds are longer than 0.5 s (up to 0.75 s): their middle is kept",)


def test_silence_is_cut_off_the_ends_alone(tmp_path):
    parts = [np.zeros(1600), sine(seconds=0.1), 0.0001 * sine(seconds=0.1), sine(seconds=0.1), 0.0001 * sine(seconds=0.2)]
    write(tmp_path / "a.wav", np.concatenate(parts))
    (x,) = x_of(sound(tmp_path, trim=40))[:, 0]
    assert np.abs(x[:2400].numpy() - np.concatenate(parts[1:4])).max() < 1e-3 and x[2400:].eq(0).all()


def test_loudness_is_an_rms_in_db_of_full_scale_that_never_clips(tmp_path):
    """A sine of amplitude a has an RMS of a / sqrt(2); that of full scale, -3.01 dB, cannot be made louder."""
    write(tmp_path / "a.wav", sine(amplitude=0.01))
    for loudness, amplitude in ((-20, math.sqrt(2) / 10), (0, 1)):
        x = x_of(sound(tmp_path, loudness=loudness))
        assert float(x.abs().max()) == pytest.approx(amplitude, rel=0.02)


def test_another_rate_is_brought_to_this_one_only_where_that_is_said(tmp_path):
    write(tmp_path / "a.wav", sine(440, rate=22050), rate=22050)
    with pytest.raises(Problem, match=r"^1 of 1 sounds are not of 8000 Hz \(a.wav: 22050\); set data.resample=true, or data.rate=22050, which they all have$"):
        sound(tmp_path)
    x = x_of(sound(tmp_path, resample=True))[0, 0]
    assert np.abs(x[200:-200].numpy() - sine()[200:-200]).max() < 0.01


def digits(folder, takes=4):
    for digit in (0, 1, 10):
        for take in range(takes):
            write(folder / f"{digit}_ann_{take}.wav", sine(200 + 100 * digit))


def test_names_say_classes_and_the_test_split(tmp_path):
    digits(tmp_path)
    train, test = (sound(tmp_path, label_from=r"^(\d+)_", test_names=r"_[0-1]\.wav$", split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (6, 6) and train.classes == test.classes == ("0", "1", "10"), "by value, not by letter"
    assert train.labels(torch.arange(6)).tolist() == [0, 0, 2, 2, 1, 1]
    assert not (x_of(train)[0] - x_of(train)[2]).abs().max() < 0.1
    assert sound(tmp_path, label_from="ann").classes == ("ann",) and sound(tmp_path).classes == ()


def test_folders_are_classes_and_splits(tmp_path):
    for split in ("train", "test"):
        for name in ("bell", "drum"):
            write(tmp_path / split / name / "1.wav", sine(300 if name == "bell" else 90))
    train, test = (sound(tmp_path, split=split) for split in ("train", "test"))
    assert train.classes == test.classes == ("bell", "drum") and len(train) == len(test) == 2
    (tmp_path / "train" / "bell" / "2.wav").write_bytes(b"RIFF")
    (tmp_path / "train" / "drum" / "1.wav").rename(tmp_path / "train" / "drum" / "3.wav")
    assert len(sound(tmp_path, split="test", skip_broken=True)) == 2, "the names of broken sounds are those of their own folder"


def test_a_folder_is_found_below_the_one_of_all_data(tmp_path, monkeypatch):
    write(tmp_path / "bells" / "1.wav", sine())
    monkeypatch.setenv("FROMNOISE_DATA", str(tmp_path))
    assert len(sound("bells")) == 1


def damaged(folder):
    """Whole files, and some that are not."""
    write(folder / "good.wav", sine())
    whole = write(folder / "cut.wav", sine()).read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "text.wav").write_text("no sound")
    write(folder / "empty.wav", np.zeros(0))
    write(folder / "silent.wav", np.zeros(400))


def test_files_that_hold_no_sound_are_named_or_left_out(tmp_path):
    damaged(tmp_path)
    with pytest.raises(Problem, match=r"^2 of 5 sounds cannot be read \(empty.wav: it is empty; text.wav: it is cut short, .*\); remove them, or set data.skip"):
        sound(tmp_path)
    for name in ("empty.wav", "text.wav"):
        (tmp_path / name).unlink()
    with pytest.raises(Problem, match=r"^2 of 3 sounds cannot be read \(cut.wav: it is cut short; silent.wav: it is all silence\); remove them, or"):
        sound(tmp_path)
    damaged(tmp_path)
    data = sound(tmp_path, skip_broken=True)
    assert len(data) == 1 and "4 sounds cannot be read and are skipped (" in data.left_out[0]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "the sounds have different numbers of channels, most of them 1 (both.wav: 2); set data.mono=true to mix them"),
        ({"mono": True, "label_from": r"^(\d)_"}, r"1 of 2 sounds have no class in their names by ^(\d)_ (both.wav); change it, or move them away"),
        ({"test_names": "xyz"}, "data.test_names=xyz is in none of the names of 2 sounds, such as 1_a.wav; change it"),
        ({"test_names": "wav"}, "data.test_names=wav is in all of the names"),
        ({"label_from": "("}, "data.label_from=( is no regular expression: missing ), unterminated subpattern at position 0"),
        ({"label_from": "a", "labels": False}, "data.label_from says where classes come from, and data.labels=false leaves them out; say one of them"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path, settings, says):
    write(tmp_path / "1_a.wav", sine())
    write(tmp_path / "both.wav", np.stack([sine(), sine()]))
    with pytest.raises((Problem, Usage), match=f"^{re.escape(says)}") as error:
        sound(tmp_path, **settings)
    assert "\n" not in str(error.value)


def test_channels_that_cancel_are_silence_and_a_folder_without_sounds_says_what_it_holds(tmp_path):
    write(tmp_path / "a.wav", np.stack([sine(), -sine()]), width=3)
    with pytest.raises(Problem, match="a.wav: its channels cancel each other"):
        sound(tmp_path, mono=True)
    (tmp_path / "a.wav").rename(tmp_path / "a.txt")
    with pytest.raises(Problem, match=r"no sounds in .*, only a.txt and the like; wav, flac, ogg, mp3, aif, aiff are read, in sub-folders too"):
        sound(tmp_path)


def test_judges_see_log_mel_spectrograms(tmp_path):
    """A sine is loudest, and at its level in dB, in the band whose middle is nearest in mel; all else is quieter."""
    write(tmp_path / "a.wav", sine(1000, amplitude=0.1))
    data = sound(tmp_path)
    seen = Seen(data, data.seen)
    (x,) = seen.get(torch.tensor([0]))["x"][:, 0]
    assert seen.shape == (1, 64, 32) and seen.name == "sound log-mel" and x.min() >= -1 and x.max() <= 1
    middles = hertz(torch.linspace(0, float(mel(torch.tensor(RATE / 2.0))), 66)[1:-1])
    nearest = int((mel(middles) - mel(torch.tensor(1000.0))).abs().argmin())
    assert x[:, 5:25].argmax(0).eq(nearest).all()
    assert float(x[nearest, 10]) == pytest.approx(1 - 2 * 20 / 100, abs=0.15) and x.mean() < -0.3
