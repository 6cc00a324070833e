"""Moving digits obey the law that they are drawn by: what is measured in the pictures is where the law says."""

import math

import pytest
import torch

from fromnoise import config
from fromnoise.data import DATASETS, feed
from fromnoise.data.plan import Plan
from fromnoise.data.sets.moving_digits import Motion, MovingDigits, bounced
from fromnoise.errors import Usage
from fromnoise.model import load
from fromnoise.runs import Run
from fromnoise.training import train


def centres(x):
    """Centres of brightness (N, T, 2) of clips (N, 1, T, H, W) on black, in pixels (x, y)."""
    x = x[:, 0].double()
    across, down = (torch.arange(side, dtype=torch.float64) for side in (x.shape[-1], x.shape[-2]))
    return torch.stack([(x * across).sum((2, 3)), (x * down[:, None]).sum((2, 3))], -1) / x.sum((2, 3))[..., None]


def digits(**settings):
    return MovingDigits(**{"base": "mnist_5k", "count": 40, **settings})


@pytest.mark.parametrize("settings", [{}, {"digit": 12, "size": 24, "speed": (3, 5), "frames": 9}, {"size": 64, "digit": 30, "split": "test"}])
def test_the_centre_of_each_frame_lies_on_the_true_path_and_the_brightness_stays(settings):
    data = digits(**settings)
    x, motions = data.take(torch.arange(40))["x"], [data.motions(i)[0] for i in range(40)]
    assert x.dtype == torch.uint8 and x.shape == (40, *data.shape)
    assert (centres(x) - torch.stack([motion.path for motion in motions])).abs().max() < 0.05
    light = x.double().sum((1, 3, 4))
    assert (light / light.mean(1, keepdim=True) - 1).abs().max() < 0.005, "bytes are rounded"


def test_it_goes_straight_on_between_walls_where_it_turns_back_elastically():
    data, turned = digits(frames=40), 0
    for i in range(20):
        (motion,) = data.motions(i)
        assert ((motion.path >= motion.low - 1e-9) & (motion.path <= motion.high + 1e-9)).all()
        for axis in range(2):  # stepped from frame to frame, as billiards are taught
            place, velocity = float(motion.path[0, axis]), float(motion.velocity[axis])
            low, high = float(motion.low[axis]), float(motion.high[axis])
            for frame in range(1, 40):
                place += velocity
                while not low <= place <= high:
                    place, velocity, turned = (2 * low if place < low else 2 * high) - place, -velocity, turned + 1
                assert math.isclose(place, motion.path[frame, axis], abs_tol=1e-9)
    assert turned > 40


def test_the_box_around_a_digit_stays_in_the_picture_and_touches_the_walls():
    data = digits(speed=4, frames=64)
    x = data.take(torch.arange(8))["x"][:, 0]
    for i, clip in enumerate(x):
        rows = torch.nonzero((clip > 0).any(2).any(0)).flatten()
        assert rows[0] == 0 and rows[-1] == 31 or abs(data.motions(i)[0].velocity[1]) < 0.5
        assert 0.5 < float(data.motions(i)[0].velocity.norm()) / 4 < 1.0001


def test_mirrored_at_two_walls():
    zero, three = torch.zeros(()), torch.tensor(3.0)
    straight = torch.tensor([-4.0, -1, 0, 1, 3, 4, 6, 7, 10])
    assert bounced(straight, zero, three).tolist() == [2, 1, 0, 1, 3, 2, 0, 1, 2]
    assert bounced(straight, three, three).tolist() == [3] * 9, "no room"


def test_speeds_are_those_that_are_asked_for_in_all_directions():
    data = digits(speed=[1, 2])
    velocity = torch.stack([data.motions(i)[0].velocity for i in range(40)])
    assert 1 <= velocity.norm(dim=1).min() < 1.3 and 1.7 < velocity.norm(dim=1).max() <= 2
    assert {(bool(x > 0), bool(y > 0)) for x, y in velocity} == {(a, b) for a in (True, False) for b in (True, False)}
    still = digits(speed=0, captions=True).get(torch.tensor([3]))
    assert (still["x"] == still["x"][:, :, :1]).all() and still["text"][0].endswith("stands still")


def test_a_clip_is_a_function_of_seed_and_number_alone():
    one, two, other = digits(), digits(count=7), digits(seed=1)
    together = one.take(torch.arange(7))
    assert all(torch.equal(two.take(torch.tensor([i]))["x"][0], together["x"][i]) for i in (5, 0, 3))
    assert not torch.equal(other.take(torch.arange(7))["x"], together["x"])
    assert torch.equal(one.labels(torch.arange(7)), together["label"])


def test_train_and_test_have_digits_of_their_own():
    train, test = (DATASETS["mnist_5k"](split=split).take(torch.arange(500))["x"].flatten(1) for split in ("train", "test"))
    data = digits(split="test", speed=0, count=5)
    for i in range(5):
        which = int(data._drawn(torch.tensor([i]))[0])
        shown, (motion,) = data.take(torch.tensor([i]))["x"][0, 0, 0], data.motions(i)
        assert int(shown.double().sum()) == pytest.approx(int(test[which].double().sum()), rel=0.005)
        assert motion.label == int(DATASETS["mnist_5k"](split="test").labels(torch.tensor([which])))
    assert not (train[:, None, ::9] == test[None, :, ::9]).all(2).any()


def test_of_two_digits_the_brighter_is_seen_and_the_first_is_the_label():
    data = digits(digits=2, captions=True, frames=4, size=40)
    batch = data.take(torch.arange(6))
    for i in range(6):
        first, second = data.motions(i)
        assert int(batch["label"][i]) == first.label
        assert batch["text"][i] == f"{first}, {second}" == data.text[i]
    alone = digits(frames=4, size=40)
    assert batch["x"].double().sum() > 1.2 * alone.take(torch.arange(6))["x"].double().sum()


@pytest.mark.parametrize(
    ("velocity", "words"), [((1, 0.1), "right"), ((1, 1), "right and down"), ((0, -2), "up"), ((-1, -1), "left and up"), ((-3, 0), "left")]
)
def test_captions_name_digit_and_direction(velocity, words):
    nowhere = torch.zeros(2)
    assert str(Motion(3, nowhere, torch.tensor(velocity), nowhere, nowhere)) == f"a three moves {words}"
    assert str(Motion(8, nowhere, torch.tensor(velocity), nowhere, nowhere)).startswith("an eight ")


def test_they_are_videos_of_a_rate_that_a_run_keeps(tmp_path):
    data = config.build(DATASETS, {"name": "moving_digits", "base": "mnist_5k", "frames": 4, "size": 16, "digit": 10, "count": 12}, "data")
    assert (data.medium, data.rate, data.shape, data.classes[3]) == ("videos", 8.0, (1, 4, 16, 16), "3")
    batch = next(feed(data, Plan(12, 5), flip=True))
    assert batch["x"].shape == (5, 1, 4, 16, 16) and batch["x"].min() == -1 and 0.9 < batch["x"].max() <= 1
    node = {"name": "moving_digits", "base": "mnist_5k", "frames": 4, "size": 16, "digit": 10, "count": 12}
    network = {"name": "unet", "width": 8, "levels": [1, 2]}
    train({"data": node, "network": network, "train": {"steps": 1, "batch": 2, "held_out": 2}}, tmp_path / "run")
    assert Run(tmp_path / "run").recipe().rate == 8 and load(tmp_path / "run").rate == 8


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"digit": 31}, "digits of 31 pixels have no room to move in 32; lower data.digit, or raise data.size"),
        ({"speed": [2, 1]}, r"speed is pixels a frame, or \[least, most\], not \[2"),
        ({"speed": [1, 2, 3]}, "speed is pixels a frame"),
        ({"digits": 3}, "from 1 to 2"),
        ({"base": "emnist"}, "base is mnist or mnist_5k"),
    ],
)
def test_what_cannot_be_is_one_line(settings, line):
    with pytest.raises(Usage, match=line):
        config.build(DATASETS, {"name": "moving_digits", **settings}, "data")
