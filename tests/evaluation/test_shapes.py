"""The card of shapes: what is known of balls of different sizes, of copies, of nothing, and of clouds."""

import pytest
import torch

from fromnoise.data import Tensors
from fromnoise.errors import Problem
from fromnoise.evaluation import Protocol, card_of, evaluate, score_shapes
from fromnoise.evaluation.signals import score_signals
from tests.parts import built

RADII = torch.linspace(0.3, 0.8, 6)


def ball(radius: float, side: int = 16) -> torch.Tensor:
    """A volume (1, side, side, side) in [-1, 1], above 0 within the radius."""
    places = (torch.arange(side) + 0.5) / side * 2 - 1
    apart = torch.stack(torch.meshgrid(places, places, places, indexing="ij")).norm(dim=0)
    return ((radius - apart) * 8).clamp(-1, 1)[None]


def test_balls_like_the_reference_cover_it_and_balls_of_one_size_do_not():
    data = Tensors("balls", torch.stack([ball(float(r)) for r in RADII]))
    card = score_shapes(data.x, data, data)
    assert card["coverage"].value == card["coverage"].floor == 1 and card["watertight"].value == card["watertight"].floor == 1
    between = float((2 * 4 * RADII.square() / 512).mean())  # 1 / (pi density) to the nearest of points drawn evenly, squared, both ways
    assert card["minimum matching"].value == pytest.approx(between, rel=0.1)
    one = score_shapes(data.x[:1].repeat(6, 1, 1, 1, 1), data, data)
    assert one["coverage"].value == pytest.approx(1 / 6)
    apart = float((2 * (RADII - RADII[0]).square()).mean())  # concentric spheres are |r - R| apart, squared, both ways
    assert one["minimum matching"].value == pytest.approx(apart, rel=0.1)


def test_empty_and_open_shapes_are_counted():
    data = Tensors("balls", torch.stack([ball(float(r)) for r in RADII]))
    samples = torch.cat([data.x[:3], -torch.ones(3, 1, 16, 16, 16)])
    card = score_shapes(samples, data, data)
    assert card["watertight"].value == 0.5 and "3 of 6 samples are empty" in card.notes[0]
    with pytest.raises(Problem, match="samples are empty"):
        score_shapes(samples[3:], data, data)
    with pytest.raises(Problem, match="the samples are .1, 8, 16, 16., the data"):
        score_shapes(samples[:, :, :8], data, data)


def test_clouds_are_measured_as_they_are():
    """A cloud that is another one moved by d lies d² from it both ways, if its points lie further apart."""
    corners = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 4)] * 3, indexing="ij")).reshape(1, 3, 64)
    data = Tensors("clouds", corners.repeat(4, 1, 1))
    moved = corners + torch.tensor([0.1, 0, 0])[:, None]
    card = score_shapes(moved.repeat(4, 1, 1), data, data)
    assert card["minimum matching"].value == pytest.approx(2 * 0.1**2) and "watertight" not in {row.metric for row in card.rows}


def test_evaluate_measures_shapes_without_a_network():
    assert card_of((1, 8, 8, 8), None) is score_shapes and card_of((3, 9), None) is score_shapes and card_of((3, 9), "signals") is score_signals
    data = Tensors("clouds", torch.rand(12, 3, 20))
    model = built({"network": {"name": "mlp", "width": 8}, "sample": {"name": "ddim", "steps": 1}}, data.shape)
    card = evaluate(model, data, data, Protocol(n=3), model.sampling)
    assert card.features == "surfaces" and card.n == 3 and card["coverage"].floor <= 1
