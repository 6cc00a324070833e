from types import SimpleNamespace

import pytest
import torch

from fromnoise.data.sets.shapes import COLOURS, shapes
from fromnoise.errors import Usage
from fromnoise.evaluation import control_adherence
from fromnoise.evaluation.metrics.pictures import edge_overlap, shape_colour
from fromnoise.model import Sampling


def lines(*columns: int, size: int = 12) -> torch.Tensor:
    x = torch.full((1, 1, size, size), -1.0)
    x[..., list(columns)] = 1
    return x


@pytest.mark.parametrize(
    ("a", "b", "tolerance", "overlap"),
    [
        ((4,), (4,), 0, 1.0),
        ((4,), (5,), 0, 0.0),
        ((4,), (5,), 1, 1.0),
        ((4,), (6,), 1, 0.0),
        ((4,), (4, 9), 0, 1 / 2),  # one line of two
        ((2, 9), (3, 6), 1, 1 / 3),  # 1 of 2 on either side: 1 / (2 + 2 - 1)
        ((), (), 1, 1.0),
        ((), (3,), 1, 0.0),
    ],
)
def test_overlap_of_lines(a, b, tolerance, overlap):
    for one, two in ((a, b), (b, a)):
        assert float(edge_overlap(lines(*one), lines(*two), tolerance)) == pytest.approx(overlap)


def test_without_tolerance_it_is_intersection_over_union():
    a, b = (torch.randn(5, 1, 9, 9, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    ratio = ((a > 0) & (b > 0)).flatten(1).sum(1) / ((a > 0) | (b > 0)).flatten(1).sum(1)
    assert torch.allclose(edge_overlap(a, b, 0), ratio)


@pytest.mark.parametrize("size", [16, 32])
def test_the_colour_of_a_drawn_shape_is_the_one_in_its_caption(size):
    data = shapes(size, 200)
    batch = data.get(torch.arange(200))
    named = [list(COLOURS).index(text.split()[2]) for text in batch["text"]]
    for noise in (0.0, 0.1):
        x = batch["x"] + noise * torch.randn(batch["x"].shape, generator=torch.Generator().manual_seed(0))
        assert (shape_colour(x) == torch.tensor(named)).float().mean() >= (1.0 if not noise else 0.98)
    assert shape_colour(torch.tensor([24.0, 26, 34]).div(127.5).sub(1).reshape(1, 3, 1, 1).expand(2, 3, 9, 9)).tolist() == [-1, -1]


def drawing(data, follows=True):
    """A model that draws the example of its hint, or always the first where it is not followed, or not given."""
    conditions = {
        key: SimpleNamespace(guidable=key == "label", read=lambda batch, key=key: batch["x" if key == "edges" else key])
        for key in ("label", "edges")
    }
    seen = []

    def sample(n, sampling, progress, label, edges):
        seen.append((sampling.control, label.tolist()))
        progress(n)
        return data.get(torch.zeros(n, dtype=torch.long))["x"] if edges is None or not follows else edges

    return SimpleNamespace(conditions=conditions, sample=sample, seen=seen)


def test_samples_that_are_their_examples_adhere_wholly():
    data = shapes(16, 40)
    model = drawing(data)
    drawn = []
    found = control_adherence(model, data, 10, Sampling(control={"edges": 0.5}), lambda *counts: drawn.append(counts))
    assert drawn == [(10, 20), (20, 20)]
    labels = data.label[::4].tolist()
    assert model.seen == [({"edges": [0.5]}, labels), ({}, labels)]  # the same labels, with and without hints
    assert found.n == 10 and found.edges == found.colour == 1 and found.edges_without < 0.8 and found.colour_without < 0.8
    assert found.json()["edges"] == 1 and "IoU 1.000" in found.lines()[0] and "100.0% right" in found.lines()[1]
    off = control_adherence(drawing(data, follows=False), data, 100, Sampling())
    assert off.n == 40 and (off.edges, off.colour) == (off.edges_without, off.colour_without)


def test_without_a_branch_there_are_no_hints():
    with pytest.raises(Usage, match="no control branch"):
        control_adherence(SimpleNamespace(conditions={}), shapes(16, 4), 4, Sampling())
