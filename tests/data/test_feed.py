"""The feed: the plan's batches, mirrored by chance, the same from memory, from files and after a resume."""

from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.data import DATASETS, Plan, Tensors, feed
from fromnoise.errors import Problem, Usage


def ramps(n=40):
    """Example i is i everywhere but in its first column, which is 200: mirrored ones can be told apart."""
    x = torch.arange(n, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, 2, 3)
    x[..., 0] = 200
    return Tensors("ramps", x, label=torch.arange(n))


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) if torch.is_tensor(a[k]) else a[k] == b[k] for k in a)


def test_it_serves_the_plan():
    data, plan = ramps(), Plan(40, 16, seed=4)
    for step, batch in enumerate(islice(feed(data, plan), 5)):
        assert batch["label"].tolist() == plan(step).tolist()
        assert torch.equal(batch["x"], data.get(plan(step))["x"])


@pytest.mark.parametrize("flip", [False, True])
def test_resuming_is_exact(flip):
    data, plan = ramps(), Plan(40, 16, seed=4)
    whole = list(islice(feed(data, plan, flip=flip), 9))
    rest = list(islice(feed(data, plan, start=5, flip=flip), 4))
    assert all(same(a, b) for a, b in zip(whole[5:], rest, strict=True))


def test_half_of_the_examples_are_mirrored_whole():
    data, plan = ramps(), Plan(40, 40)
    mirrored = 0
    for step, batch in enumerate(islice(feed(data, plan, flip=True), 100)):
        plain = data.get(plan(step))["x"]
        turned = (batch["x"] != plain).flatten(1).any(1)
        assert torch.equal(batch["x"], torch.where(turned[:, None, None, None], plain.flip(-1), plain))
        mirrored += int(turned.sum())
    assert 1850 < mirrored < 2150  # 4000 coins: mean 2000, five standard deviations are 158


def test_flip_is_the_same_for_any_number_of_processes():
    data = ramps()
    alone = next(feed(data, Plan(40, 16, seed=4), start=3, flip=True))
    parts = [next(feed(data, Plan(40, 8, seed=4, rank=rank, world=2), start=3, flip=True)) for rank in (0, 1)]
    assert torch.equal(torch.cat([part["x"] for part in parts]), alone["x"])


def test_points_cannot_be_mirrored():
    with pytest.raises(Usage, match="flip=false"):
        next(feed(DATASETS["moons"](count=10), Plan(10, 2), flip=True))


@pytest.fixture
def pictures(tmp_path):
    for i in range(12):
        home = tmp_path / "ab"[i % 2]
        home.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (6, 5, 3), np.uint8)).save(home / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_equals_memory(pictures, workers):
    kept, streamed = (DATASETS["folder"](str(pictures), memory=memory) for memory in (True, False))
    assert kept.in_memory and not streamed.in_memory
    plan = Plan(len(kept), 4, seed=1)
    ours, theirs = feed(kept, plan, start=2, flip=True), feed(streamed, plan, start=2, flip=True, workers=workers)
    assert all(same(next(ours), next(theirs)) for _ in range(8))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_breaks_while_streaming_is_one_line(pictures, workers):
    data = DATASETS["folder"](str(pictures), memory=False)
    (pictures / data.base.listing.files[0]).write_text("no picture any more")
    with pytest.raises(Problem, match="skip_broken=true") as caught:
        list(islice(feed(data, Plan(len(data), 4), workers=workers), 5))
    assert "\n" not in str(caught.value)
