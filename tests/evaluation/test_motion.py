"""Paths, brightness and things in clips, against motion that is known."""

import pytest
import torch

from fromnoise.data.sets.moving_digits import MovingDigits
from fromnoise.evaluation import gone_on
from fromnoise.evaluation.metrics.motion import Law, centres, flicker, nearest_path, rooms, things
from fromnoise.evaluation.prediction import prefix

T = 16


def folded(start, velocity, low, high, frames=T):
    """A point that is moved on in small steps and turned back at walls, one step at a time."""
    places, x, v, fine = [], float(start), float(velocity), 1000
    for _ in range(frames):
        places.append(x)
        for _ in range(fine):
            x += v / fine
            if x > high or x < low:
                x, v = 2 * (high if x > high else low) - x, -v
    return torch.tensor(places, dtype=torch.float64)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((10, 0.7, 0, 40), (5, -0.25, 0, 40)),  # meets no wall
        ((10, 1.9, 9, 21), (12, -1.3, 8.3, 22)),  # several
        ((10.4, -0.8, 10, 30), (20, 0.0, 0, 40)),  # turns at once; stands
    ],
)
def test_velocity_and_bounces_are_found_exactly(x, y):
    path = torch.stack([folded(*x), folded(*y)], 1)[None]
    found = nearest_path(path)
    assert float(found.errors(path).max()) < 1e-6
    assert found.velocity[0].tolist() == pytest.approx([x[1], y[1]], abs=1e-3)
    met = path[0, :, 0].diff().sign().unique().numel() > 1
    assert not met or float(found.high[0, 0]) == pytest.approx(x[3], abs=1e-5) or float(found.low[0, 0]) == pytest.approx(x[2], abs=1e-5)


def test_noise_is_seen_at_its_size():
    """Of 2 T numbers 8 are nearest_path at most, and 4 at least: the root of the mean square is between these shares of the noise's."""
    draw = torch.Generator().manual_seed(0)
    way = torch.stack([folded(10, 0.7, 0, 60), folded(30, -1.1, 10, 60)], 1).expand(60, -1, -1)
    noisy = way + 0.2 * torch.randn(way.shape, generator=draw, dtype=torch.float64)
    rms = float(nearest_path(noisy).errors(noisy).square().mean().sqrt())
    assert 0.95 * 0.2 * (2 - 16 / T) ** 0.5 < rms < 1.05 * 0.2 * (2 - 8 / T) ** 0.5


def test_real_clips_lie_on_their_path_and_shuffled_ones_do_not():
    data = MovingDigits(base="mnist_5k", count=24)
    x = data.get(torch.arange(24))["x"]
    true = torch.stack([data.motions(i)[0].path for i in range(24)])
    at = centres(x)
    assert float((at - true).norm(dim=2).max()) < 0.06
    assert float(nearest_path(at).errors(at).max()) < 0.1
    mixed = at[:, torch.randperm(T, generator=torch.Generator().manual_seed(1))]
    assert float(nearest_path(mixed).errors(mixed).square().mean(1).sqrt().mean()) > 1


def of_law(x, data):
    """The error of clips from the nearest path of the law of a set of moving digits, (N,)."""
    at = centres(x)
    return nearest_path(at, Law(*data.speed, *rooms(x, data.digit + 2))).errors(at).square().mean(1).sqrt()


def test_what_the_law_forbids_is_far_from_its_paths():
    """A ramp of 0.5 pixels a frame is 0.5 √((T² - 1) / 12) pixels from a point that stands still, and nothing that collapses is nearer than real clips."""
    data = MovingDigits(base="mnist_5k", count=24, speed=[0.5, 2])
    x = data.get(torch.arange(24))["x"]
    assert float(of_law(x, data).max()) < 0.1
    still = x[:, :, :1].expand_as(x)
    assert of_law(torch.full_like(x[:2], -1), data).tolist() == pytest.approx([0.5 * ((T**2 - 1) / 12) ** 0.5] * 2)
    turned = torch.cat([x[:, :, : T // 2], x[:, :, : T // 2].flip(2)], 2)  # in mid-air
    fast, one_black = x[:, :, ::4].repeat(1, 1, 4, 1, 1), x.clone()
    one_black[:, :, 5] = -1
    for name, made in {"still": still, "grey": torch.zeros_like(x), "turned": turned, "leaps": fast, "black": one_black}.items():
        assert float(of_law(made, data).mean()) > 1, name


def test_walls_are_where_the_box_of_a_digit_meets_the_border():
    data = MovingDigits(base="mnist_5k", count=24)
    truth = [data.motions(i)[0] for i in range(24)]
    low, high = rooms(data.get(torch.arange(24))["x"], data.digit + 2)
    assert float((low - torch.stack([motion.low for motion in truth])).abs().max()) < 1
    assert float((high - torch.stack([motion.high for motion in truth])).abs().max()) < 1


def test_the_centre_of_a_pixel_and_of_nothing():
    x = torch.full((1, 3, 2, 5, 9), -1.0)
    x[:, :, 0, 1, 7] = 1
    assert centres(x)[0].tolist() == [[7, 1], [4, 2]]


def test_flicker_is_the_share_by_which_brightness_alternates():
    x = torch.zeros(3, 1, 10, 4, 4)
    x[0, :, ::2] += 0.1
    x[0, :, 1::2] -= 0.1
    x[1] += torch.linspace(-0.5, 0.5, 10)[:, None, None]
    assert flicker(x).tolist() == pytest.approx([0.1, 0, 0], abs=1e-6)
    assert flicker(torch.zeros(2, 3, 2, 4, 4)).tolist() == [0, 0]


def test_things_are_counted_wherever_they_are():
    x = torch.full((1, 1, 3, 20, 20), -1.0)
    x[0, 0, 0, 3:8, 3:5], x[0, 0, 0, 12:15, 12:18] = 1, 1
    x[0, 0, 1, 2:18, 4], x[0, 0, 1, 2, 4:16], x[0, 0, 1, 17, 4:16] = 1, 1, 1  # a C
    assert things(x).tolist() == [[2, 1, 0]]


def test_known_frames_are_a_prefix_or_not():
    known = torch.zeros(4, 1, 6, 2, 2)
    known[0, :, :4], known[1, :, 1:3], known[2], known[3, :, :1] = 1, 1, 1, 1
    assert prefix(known).tolist() == [4, 0, 0, 1]


def test_a_prediction_is_held_against_staying_and_going_straight_on():
    truth = torch.stack([folded(3, 1, 0, 12, 14), torch.full((14,), 5.0, dtype=torch.float64)], 1)[None]  # 3, 4, … 12, 11, … 8
    x = torch.full((1, 1, 14, 16, 16), -1.0)
    x[0, 0, -1, 8, 8] = 1
    found = gone_on(x, truth, torch.tensor([4]))
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {"prediction": 3.0, "prediction by staying": 2.0, "prediction by going straight on": 8.0}
    )
    assert float(gone_on(x, truth, torch.tensor([1]))["prediction by going straight on"]) == pytest.approx(5), "one frame shows no speed"
