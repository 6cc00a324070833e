import pytest
import torch

from fromnoise.data.sets.shapes import COLOURS, shapes
from fromnoise.evaluation.metrics import edge_overlap, shape_colour


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
