"""The judge of clips, with a network that reads what is written into a corner, and the card of all of it."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fromnoise.conditions.hints.frames import Frames
from fromnoise.data import Tensors
from fromnoise.data.sets.moving_digits import MovingDigits
from fromnoise.errors import Problem, Usage
from fromnoise.evaluation import FeatureNet, Protocol, measuring_clips, score_extension
from fromnoise.evaluation.clips import Framed
from fromnoise.evaluation.examples import spread
from fromnoise.evaluation.features import timing
from fromnoise.evaluation.features.timing import DONE, retimed
from fromnoise.evaluation.moving import read
from fromnoise.evaluation.prediction import predicted, prefix


class Corner(FeatureNet):
    """Sees a picture's class in the brightness of its first pixel, 0 to 9 tenths; one that is full is not readable."""

    name, classes = "corner", 10

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, images):
        tenth = (images[:, 0, 0, 0] + 1) * 5
        logits = -20 * (tenth[:, None] - torch.arange(10)).abs() * (tenth < 9.5)[:, None]
        return torch.stack([images.mean((1, 2, 3)), images[:, 0].amax((1, 2)), tenth], 1), logits


def written(digits, frames=6):
    """Clips (N, 1, T, 12, 12) with a digit in the corner of each frame: a number a clip, or a list of one a frame."""
    x = torch.full((len(digits), 1, frames, 12, 12), -1.0)
    for clip, digit in zip(x, digits, strict=True):
        clip[0, :, 0, 0] = torch.as_tensor(digit) / 5 - 1.0
    return x


def test_a_digit_is_kept_where_all_readable_frames_show_it():
    found = read(written([3, [3, 3, 3, 3, 4, 3], [7, 10, 7, 10, 7, 7], [10, 10, 10, 10, 7, 7], 10]), Corner())
    assert found.digit.tolist() == [3, 3, 7, 7, -1], "what cannot be read is no digit"
    assert found.one.tolist() == [True, False, True, False, False], "unreadable frames count for nothing, but half must be readable"


def test_frames_come_with_the_label_of_their_clip():
    x = torch.arange(4 * 9, dtype=torch.uint8).reshape(4, 1, 9, 1, 1).expand(-1, -1, -1, 8, 8).contiguous()
    data = Tensors("clips", x, torch.tensor([1, 0, 1, 0]))
    frames = Framed(data)
    batch = frames.take(torch.tensor([13, 2, 0, 3]))
    assert len(frames) == 16 and frames.shape == (1, 8, 8) and batch["label"].tolist() == [0, 1, 1, 1]
    assert batch["x"][:, 0, 0, 0].tolist() == [27 + 2, 4, 0, 6]


def test_time_is_reversed_slowed_and_shuffled():
    x = torch.arange(8.0).reshape(1, 1, 8, 1, 1).expand(4, 1, 8, 2, 2)
    found = retimed(x, torch.arange(len(DONE)), torch.Generator().manual_seed(0))[:, 0, :, 0, 0]
    assert found[:3].tolist() == [list(range(8)), list(range(8))[::-1], [0, 0, 1, 1, 2, 2, 3, 3]]
    assert sorted(found[3].tolist()) == list(range(8)) and found[3].tolist() not in found[:3].tolist()


@pytest.fixture
def card(monkeypatch, tmp_path):
    """What measures moving digits, by networks that are hardly trained."""
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path))
    monkeypatch.setattr(timing, "STEPS", 60)
    train, test = (MovingDigits(base="mnist_5k", frames=8, size=20, digit=12, count=count, split=split) for count, split in ((160, "train"), (80, "test")))
    return train, test, measuring_clips(train, test, lambda *_: Corner(), torch.device("cpu"))


def test_real_clips_are_like_real_clips_and_damaged_ones_are_not(card):
    train, test, measure = card
    batch = test.get(torch.arange(60))
    x, given = batch["x"], {"label": batch["label"]}
    real, shuffled = measure(x, given), measure(x[:, :, torch.randperm(8, generator=torch.Generator().manual_seed(0))], given)
    flickering = x.clone()
    flickering[:, :, ::2] = (flickering[:, :, ::2] + 1) * 0.6 - 1
    flicker = measure(flickering, given)["flicker"]
    assert real["path error, px"].value < 0.05 and real["path error, px"].floor < 0.05 < 0.5 < shuffled["path error, px"].value
    assert real["speed"].value == pytest.approx(1.25, abs=0.2) and real["count"].value == pytest.approx(1, abs=0.05)
    assert flicker.value == pytest.approx(0.2 / 0.8, abs=0.03) and flicker.floor < 1e-3, "brightness 0.6 b and b alternate about 0.8 b"
    found, kept = (part["Fréchet distance · moving_digits timing network"].value for part in (shuffled, real))
    assert found > 2 * kept
    assert "neither is the published Fréchet video distance" in real.protocol and "held-out clips, read the same way: one digit" in real.notes[-1]
    with pytest.raises(Problem, match="not finite"):
        measure(x * float("nan"), given)
    with pytest.raises(Problem, match="evaluate a run on its own data"):
        measure(x[:, :, :4], given)


def test_predictions_are_held_against_the_true_path(card):
    """True clips are the best of predictions, and going straight on fails at walls."""
    _, test, _ = card
    x, hint = test.get(spread(60, len(test)))["x"], Frames()
    known = hint.known(hint(x, first=3))[1]
    rows = {row.metric: row for row in predicted(x, prefix(known), test)}
    assert rows["prediction, px"].value < 0.05 and rows["prediction, px"].value == pytest.approx(rows["prediction, px"].floor)
    assert rows["prediction by staying, px"].value > 1 and rows["prediction by going straight on, px"].value > 0.5
    assert predicted(x, prefix(torch.ones_like(known)), test) == [], "all is known, and nothing predicted"


def test_windows_of_true_clips_do_not_drift_and_frozen_ones_do(card):
    """The same digits go on by the same law in longer clips; ones that stop after their first window are seen to, in the windows after it alone."""
    train, test, _ = card
    model = SimpleNamespace(shape=test.shape, conditions={}, device=torch.device("cpu"))
    protocol = Protocol(features=lambda *_: Corner())
    longer = MovingDigits(base="mnist_5k", frames=20, size=20, digit=12, count=80, split="test")
    batch = longer.get(spread(60, 80))
    x, frozen = batch["x"], torch.cat([batch["x"][:, :, :8], batch["x"][:, :, 7:8].expand(-1, -1, 12, -1, -1)], 2)
    true, stopped = (score_extension(model, train, test, clips, 3, protocol, {"label": batch["label"]}) for clips in (x, frozen))
    assert true.ends == [8, 16, 20] and list(true.predictions) == [8, 20]
    assert all(rows[0].value < 0.06 and rows[1].value > 1 for rows in true.predictions.values()), "the prediction is the truth, and staying is not"
    assert all(found["path error, px"].value < 0.05 for found in true.cards)
    assert [found["path error, px"].value > 0.3 for found in stopped.cards] == [False, True, True]
    _, protocol_of, headings, rows = stopped.cells()
    assert headings[1:] == ("1-8", "9-16", "13-20", "real") and all(row is None or len(row) == 5 for row in rows)
    assert "60 clips that go on from the first 3 frames of held-out examples with their labels" in protocol_of
    assert json.loads(json.dumps(stopped.json()))["windows"][2]["last_frame"] == 20
    with pytest.raises(Usage, match="take 8 frames or more, not 6"):
        score_extension(model, train, test, x[:, :, :6], 3, protocol, {})


@pytest.mark.slow
def test_a_cnn_reads_real_digits_and_finds_glued_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path))
    monkeypatch.setattr(timing, "STEPS", 20)
    monkeypatch.setattr("fromnoise.evaluation.features.cnn.EPOCHS", (3, 3))
    train, test = (MovingDigits(base="mnist_5k", frames=8, size=24, digit=16, count=count, split=split) for count, split in ((1500, "train"), (200, "test")))
    measure = measuring_clips(train, test, "cnn", torch.device("cpu"))
    batch = test.get(torch.arange(100))
    x, given = batch["x"], {"label": batch["label"]}
    real, glued = measure(x, given), measure(torch.cat([x[:, :, :4], x.roll(1, 0)[:, :, 4:]], 2), given)
    assert min(real["one digit throughout"].value, real["digit as asked"].value, real["one digit throughout"].floor) > 0.9
    alike = float((batch["label"] == batch["label"].roll(1)).double().mean())  # glued of two of the same digit
    assert glued["one digit throughout"].value == pytest.approx(alike, abs=0.08)
