import math

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.data import Tensors
from fromnoise.diffusion import SCHEDULES, Cosine, Flow, Karras, Level, Seeded, Table
from fromnoise.errors import Usage
from fromnoise.figures import estimate, forward, reverse, reverse_gif, tiles
from fromnoise.figures.process import evenly, examples, moments, named, unit_variance
from fromnoise.model import Sampling

from .pixels import holds


@pytest.mark.parametrize(("total", "count"), [(21, 9), (1001, 32), (5, 9), (2, 2), (7, 1)])
def test_evenly_keeps_both_ends(total, count):
    found = evenly(total, count)
    assert len(found) == len(set(found)) == min(total, count) and found[-1] == total - 1
    assert count == 1 or found[0] == 0
    assert max(np.diff(found), default=0) - min(np.diff(found), default=0) <= 1


def test_a_level_in_words():
    assert named(Flow(), Flow()(torch.tensor(0.5))) == "t 0.50\nlog-SNR 0.0"
    assert named(Flow(), Flow()(torch.tensor(0.0))) == "t 0\nlog-SNR ∞"
    assert named(Cosine(), Cosine()(torch.tensor(1.0))).endswith("−∞")
    level = Cosine(low=0.2, high=0.6)(torch.tensor(0.25))
    assert named(Cosine(low=0.2, high=0.6), level).startswith("t 0.25")
    snr = 2 * math.log(1 / 80)
    assert named(Karras(), Karras()(torch.tensor(1.0))) == f"t 1.00\nlog-SNR −{abs(snr):.1f}"


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_is_shown_with_unit_variance(name):
    schedule = SCHEDULES[name]()
    x0, eps = torch.randn(2, 20000, 1)
    for t in (0.0, 0.3, 1.0):
        level = schedule(torch.tensor(t, dtype=torch.float64))
        assert abs(float(unit_variance(level.mix(x0, eps), level).std()) - 1) < 0.03
    forward(torch.zeros(2, 1, 8, 8), schedule)


def test_examples_are_spread_over_a_sorted_set():
    data = Tensors("sorted", torch.zeros(100, 1, 4, 4, dtype=torch.uint8), torch.arange(100) // 10)
    assert examples(data, 10)["label"].tolist() == list(range(10))
    assert len(examples(data, 256)["x"]) == 100
    with pytest.raises(Usage):
        examples(data, 0)


def test_forward_begins_with_the_data_and_keeps_its_noise():
    x0 = torch.rand(3, 1, 8, 8) * 2 - 1
    picture = forward(x0, Flow(), times=[0.0, 0.5, 1.0], n=2)
    for tile in [*tiles(x0[:2]), *tiles(x0.mean(0, keepdim=True))]:
        assert holds(picture, tile) == 1
    eps = Seeded(0, [0])(torch.empty(1, 1, 8, 8))
    still = forward(torch.zeros(1, 1, 8, 8), Flow(), times=[0.5, 1.0], n=1)  # of nothing, only noise is left, alike at every t
    half, full = (tiles(unit_variance(t * eps, Level(torch.tensor(1 - t), torch.tensor(t))))[0] for t in (0.5, 1.0))
    assert holds(still, half) and holds(still, full)


def test_forward_of_points_is_a_row_of_clouds():
    x0 = torch.randn(50, 2)
    picture = forward(x0, Flow(), times=4)
    assert picture.width > 4 * 144 and picture.height < 2 * 144
    assert holds(picture, tiles(x0)[0]) == 1


def test_forward_takes_tables():
    assert forward(torch.zeros(1, 3, 8, 8), Table(steps=10), times=3).mode == "RGB"


def test_moments_are_the_walk(model):
    sampling = Sampling("ddim", 6, seed=3)
    walk = list(moments(model, 2, 100, sampling))
    assert len(walk) == 7
    assert torch.equal(walk[0].x, model.start(2, 3))
    assert torch.equal(walk[-1].x, list(model.trajectory(2, sampling))[-1][0])
    for now, nxt in zip(walk, walk[1:], strict=False):
        x0, eps = (part.detach() for part in model.denoise(2)(now.x, now.level))
        assert torch.allclose(now.x0, x0, atol=1e-6)
        assert torch.allclose(nxt.x, nxt.level.mix(x0, eps), atol=1e-5)  # DDIM is the re-blend


def test_moments_of_a_walk_from_an_image_end_at_its_sample(model):
    sampling = Sampling("ddim", 10, init=torch.zeros(1, 1, 8, 8), strength=0.5)
    walk = list(moments(model, 2, 100, sampling))
    assert len(walk) == 5  # the start is inside the model
    assert torch.equal(walk[-1].x, list(model.trajectory(2, sampling))[-1][0])
    levels = model.noise.levels(10)[-6:]
    assert [float(m.level.sigma) for m in walk] == [float(level.sigma) for level in levels[1:]]


def test_moments_begin_at_a_start_of_ones_own_on_a_schedule_of_ones_own(model):
    start, schedule = torch.full((1, 1, 8, 8), 0.5), Flow(high=0.9)
    walk = list(moments(model, 2, 100, Sampling("ddim", 4, start=start, schedule=schedule)))
    assert torch.equal(walk[0].x, start.expand(2, 1, 8, 8)) and len(walk) == 5
    assert [float(m.level.sigma) for m in walk] == [float(level.sigma) for level in schedule.levels(4)]


def test_reverse_ends_with_the_sample(model):
    picture = reverse(model, 2, 4, Sampling("ddim", 8))
    sample = list(model.trajectory(2, Sampling("ddim", 8)))[-1][0]
    for tile in tiles(sample):
        assert holds(picture, tile) == 2  # x and the estimate meet at the end


def test_reverse_of_points_and_labels(points, labelled):
    assert reverse(points, 100, 3, Sampling(steps=4)).width > 3 * 144
    assert reverse(labelled, 1, 3, Sampling(steps=4), label=2).mode == "RGB"


@pytest.mark.parametrize(
    ("which", "n", "scale", "conditions"), [("model", None, 1.0, {}), ("labelled", None, 2.0, {"label": 1}), ("points", 40, 1.0, {})]
)
def test_reverse_gif_has_a_frame_a_step(tmp_path, request, which, n, scale, conditions):
    sampling = Sampling("ddim", 5, guidance=scale)
    path = reverse_gif(request.getfixturevalue(which), tmp_path / "a.gif", n, sampling=sampling, **conditions)
    with Image.open(path) as opened:
        assert opened.n_frames == 6 and opened.width > 2 * 60


def test_reverse_gif_of_a_long_walk_stays_short(tmp_path, model):
    with Image.open(reverse_gif(model, tmp_path / "a.gif", 1, sampling=Sampling("ddpm", 200))) as opened:
        assert opened.n_frames == 32


def test_estimate_of_one_who_knows_is_without_error(model, monkeypatch):
    x0 = torch.rand(2, 1, 8, 8) * 2 - 1
    monkeypatch.setattr(model, "denoise", lambda n, **_: lambda x, level: (x0[1:], level.eps(x, x0[1:])))
    picture = estimate(model, x0, times=[0.3, 0.6], index=1)
    assert holds(picture, tiles(x0[1:])[0]) == 2 * 2  # as the truth and as the estimate, at both times


def test_estimate_has_the_examples_own_label(labelled, monkeypatch):
    seen = {}
    denoise = labelled.denoise
    monkeypatch.setattr(labelled, "denoise", lambda n, **conditions: seen.update(conditions) or denoise(n, **conditions))
    data = Tensors("two", torch.zeros(3, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 2]))
    estimate(labelled, data, times=[0.5], index=2)
    assert seen["label"].tolist() == [2]
    estimate(labelled, data, times=[0.5], index=2, label=None)
    assert seen["label"] is None


def test_estimate_of_points(points):
    assert estimate(points, torch.randn(30, 2), times=[0.2, 0.8]).width > 2 * 144
