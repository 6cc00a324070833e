"""Sounds from a folder of wav to samples that are heard: a run, what it draws of itself, what is written of it, and how it is measured."""

import base64
import re
import wave

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from fromnoise.cli.main import app
from fromnoise.config import Recipe
from fromnoise.errors import Problem
from fromnoise.evaluation import Protocol, evaluate
from fromnoise.figures import save, tiles
from fromnoise.model import load
from fromnoise.runs import Run
from fromnoise.training import train
from tests.data.test_sounds import RATE, sine, sound, write

SIDE = {"rate": RATE, "mels": 16, "window": 128, "hop": 64}


def heard(path):
    """(rate, samples (channels, L) in [-1, 1]) of a wav."""
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2
        x = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels()).T / 32767
        return file.getframerate(), x


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Low and high tones of several lengths."""
    home = tmp_path_factory.mktemp("tones")
    for i in range(24):
        for name, frequency in (("low", 300), ("high", 2000)):
            write(home / name / f"{i}.wav", sine(frequency + 10 * i, 0.05 + 0.002 * i, amplitude=0.2 + 0.02 * i))
    return home


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """One that is not trained for long."""
    recipe = {
        "data": {"name": "sound", "path": str(folder), "rate": RATE, "seconds": 0.128, "held_out": 0.4}, "autoencoder": {"name": "mel"} | SIDE,
        "network": {"name": "conv", "width": 8, "kernel": 3}, "conditions": ["label"], "sample": {"name": "ddim", "steps": 2},
        "train": {"steps": 8, "batch": 8, "evals": 1, "warmup": 0, "held_out": 8},
    }  # fmt: skip
    return train(recipe, tmp_path_factory.mktemp("runs") / "run", quiet=True).path


def test_a_run_shows_its_sounds_and_lets_them_be_heard(run):
    model = load(run, "cpu")
    assert (model.medium, model.shape, model.latent_shape, model.classes) == ("sound", (1, 1024), (1, 16, 16), ("high", "low"))
    rate, x = heard(run / "samples" / "final.wav")
    assert rate == RATE and x.shape[0] == 1 and (x.shape[1] + RATE // 4) % (1024 + RATE // 4) == 0
    page = (run / "report.html").read_text()
    (embedded,) = re.findall(r'<audio controls src="data:audio/wav;base64,([^"]+)"></audio>', page)
    assert base64.b64decode(embedded) == (run / "samples" / "final.wav").read_bytes()


def test_samples_are_written_as_one_sound_or_one_each(run, tmp_path):
    for out in ("it.wav", "folder", "it.png", "it.npz"):
        found = CliRunner().invoke(app, ["sample", str(run), "-n", "3", "--label", "1", "--out", str(tmp_path / out), "--device", "cpu"])
        assert found.exit_code == 0, found.output
    x = load(run, "cpu").sample(3, label=1)
    rate, whole = heard(tmp_path / "it.wav")
    assert rate == RATE and whole.shape == (1, 3 * 1024 + 2 * RATE // 4)
    for i in range(3):
        own_rate, own = heard(tmp_path / "folder" / f"{i:06d}_1.wav")
        assert own_rate == RATE and np.abs(own[0] - x[i, 0].numpy()).max() < 0.02
        assert np.array_equal(own, whole[:, i * (1024 + RATE // 4) :][:, :1024]), "the same sounds, a quarter of a second apart"
    assert (tmp_path / "it.png").is_file() and np.load(tmp_path / "it.npz")["arr_0"].shape == (3, 1, 1024)
    found = CliRunner().invoke(app, ["sample", str(run), "--out", str(tmp_path / "it.mp3")])
    assert found.exit_code and "end it in .png, .webp, .jpg, .npz, .gif or .wav" in str(found.exception)


def test_a_sound_without_a_rate_is_not_written(tmp_path):
    with pytest.raises(Problem, match="is the rate of the recipe's data, and it has none: set data.rate"):
        save(torch.zeros(1, 1, 8), tmp_path / "a.wav", recipe=Recipe(medium="sound"))


def test_channels_and_full_scale_are_kept(tmp_path):
    x = torch.stack([torch.linspace(-1, 1, 100), torch.full((100,), 3.0)])[None]
    rate, found = heard(save(x, tmp_path / "a.wav", recipe=Recipe(medium="sound", data={"name": "sound", "rate": 44100})))
    assert rate == 44100 and np.abs(found[0] - x[0, 0].numpy()).max() < 1e-4 and (found[1] == 1).all()


def test_a_tile_is_dark_where_and_when_it_sounds():
    """Frequency upwards, time to the right: of a tone at a quarter of the way up, in the first half, and of its waveform below."""
    x = torch.zeros(2, 1, 4096)
    x[0, 0, :2048] = 0.5 * torch.sin(2 * torch.pi / 8 * torch.arange(2048))  # a quarter of half the rate
    loud, silent = (np.asarray(tile.convert("L"), float) for tile in tiles(x, medium="sound"))
    height, width = loud.shape
    upper = loud[:72]
    off = upper[:, 10 : width // 2 - 4].argmin(0) - 54
    assert np.abs(off).max() <= 1 and upper[:, width // 2 + 8 :].std() == 0 and silent[:72].std() == 0
    assert loud[72:, 20].mean() < loud[72:, -20].mean() - 30 and height == 96
    assert all(np.isfinite(np.asarray(tile)).all() for tile in tiles(x * float("nan"), medium="sound"))
    assert [tile.size for tile in tiles(x[:, :, :50], 2, medium="sound")] == [(224, 192)] * 2, "however short"


def test_samples_are_measured_by_what_a_judge_sees_of_them(run, folder, monkeypatch, tmp_path):
    """Its own training examples are told apart nearly always, and a model that is not trained makes none that are like them."""
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path))
    data = {"seconds": 0.128, "held_out": 0.4}
    train_set, test_set = (sound(folder, split=split, **data) for split in ("train", "test"))
    monkeypatch.setattr("fromnoise.evaluation.features.cnn.EPOCHS", (60, 60))
    card = evaluate(load(run, "cpu"), train_set, test_set, Protocol(n=20), load(run, "cpu").sampling)
    assert re.match(r"Fréchet distance · sound log-mel CNN \(\d", card.rows[0].metric)
    row = card["class accuracy ·"]
    assert row.floor > 0.8 and card["Fréchet"].value > 3 * card["Fréchet"].floor
    assert f"Reference: {len(test_set)} test examples" in card.protocol and "Samples are seen as their log-mel, rounded to 8 bits" in card.protocol
    assert Run(run).recipe().medium == "sound"
