"""Hints: known from arithmetic, and functions of the draws they are given."""

import pytest
import torch

from fromnoise.conditions.hints import HINTS, hint_of, holed, holes, low_resolution
from fromnoise.draws import Draws
from fromnoise.errors import Usage

SIZES = [(12,), (12, 8), (6, 8, 4)]


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", HINTS)
def test_a_hint_is_a_picture_of_the_same_size_for_any_number_of_axes(name, size):
    x = noise(3, 2, *size)
    made = HINTS[name](x, Draws.fixed(3))
    assert made.shape[0] == 3 and made.shape[2:] == x.shape[2:] and made.abs().max() <= 1 and made.dtype == x.dtype


@pytest.mark.parametrize("size", SIZES)
def test_low_resolution_keeps_the_average_and_is_constant_in_each_square(size):
    x = noise(3, 2, *size)
    low = low_resolution(x, factor=2)
    over = tuple(range(1, x.ndim))
    assert torch.allclose(low.mean(over), x.mean(over), atol=1e-6)
    axis = x.ndim - 1
    halves = low.unflatten(axis, (-1, 2))
    assert torch.equal(halves.select(-1, 0), halves.select(-1, 1)) and not torch.equal(low, x)


def test_low_resolution_by_hand():
    x = torch.tensor([[0.0, 1.0, -1.0, -1.0], [1.0, 0.0, -1.0, 1.0]])[None, None]
    assert torch.allclose(low_resolution(x, factor=2)[0, 0], torch.tensor([[0.5, 0.5, -0.5, -0.5]] * 2))


@pytest.mark.parametrize(("name", "options"), [("grey", {}), ("low_resolution", {"factor": 4}), ("low_resolution", {"factor": 2})])
def test_a_hint_of_a_hint_is_the_hint(name, options):
    hint = hint_of(name, options)
    once = hint(noise(2, 3, 8, 8), None)
    assert torch.allclose(hint(once, None), once, atol=1e-6)


def test_bicubic_is_smoother_than_nearest_and_stays_in_range():
    x = noise(4, 1, 16, 16).sign()
    smooth, steps = (low_resolution(x, factor=4, up=up) for up in ("bicubic", "nearest"))
    assert smooth.abs().max() <= 1
    assert smooth.diff(dim=-1).abs().max() < steps.diff(dim=-1).abs().max()


def test_a_size_that_the_factor_does_not_divide_is_cut_as_evenly_as_can_be():
    x = torch.full((1, 1, 7, 5), 0.25)
    assert torch.allclose(low_resolution(x, factor=4), x)
    assert len(low_resolution(noise(1, 1, 7, 5), factor=4).unique()) == 4  # 2 x 2 squares


@pytest.mark.parametrize("size", SIZES)
def test_a_hole_takes_away_all_that_is_in_it_and_nothing_else(size):
    x = noise(200, 3, *size)
    made = HINTS["masked"](x, Draws.fixed(200, 3))
    known = made[:, -1:]
    assert made.shape == (200, 4, *size) and set(known.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(made[:, :-1], torch.where(known > 0, x, torch.zeros(())))
    assert torch.equal(holed(x, torch.ones(200, 1, *size, dtype=torch.bool)), torch.zeros_like(made)), "a whole hole is the null condition"


def test_holes_are_functions_of_the_draws():
    first, again, other = (holes(8, (16, 16), Draws.fixed(8, seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len({tuple(hole.flatten().tolist()) for hole in first}) == 8, "each example has its own"


def test_half_of_the_holes_are_boxes_of_the_sides_that_are_said():
    n, side = 4000, 32
    found = holes(n, (side, side), Draws.fixed(n))[:, 0]
    high, wide = found.any(2).sum(1), found.any(1).sum(1)
    boxes = found.sum((1, 2)) == high * wide  # as many pixels as the box around them has
    assert 0.47 < float(boxes.float().mean()) < 0.53
    for sides in (high[boxes], wide[boxes]):
        assert side / 4 - 1 <= int(sides.min()) and int(sides.max()) <= 3 * side / 4 + 1
        assert abs(float(sides.float().mean()) - side / 2) < 0.5
    share = found.float().mean((1, 2))
    assert float(share.min()) > 0 and float(share.max()) < 1, "never nothing, never all"


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("gray", {}, "did you mean 'grey'"),
        ("low_resolution", {"factr": 4}, "did you mean 'factor'"),
        ("grey", {"factor": 4}, "it takes none"),
        ("masked", {"draws": 1}, "it takes none"),
        ("low_resolution", {"factor": 1}, "whole number from 2"),
        ("low_resolution", {"factor": "big"}, "whole number from 2"),
        ("low_resolution", {"up": "cubic"}, "did you mean 'bicubic'"),
    ],
)
def test_wrong_hints_are_one_line(name, options, says):
    with pytest.raises(Usage, match=says):
        hint_of(name, options)(noise(1, 1, 8, 8), None)


def test_bicubic_is_for_pictures():
    with pytest.raises(Usage, match="up: nearest"):
        low_resolution(noise(1, 1, 8), up="bicubic")


def framed(x, draws, width=1, **rest):
    """A hint of one's own: the picture without its frame, and a channel of chance."""
    inside = torch.zeros_like(x[:, :1])
    inside[(..., *[slice(width, -width)] * (x.ndim - 2))] = 1
    return torch.cat([x * inside, draws.rand(1, *x.shape[2:])], 1)


@pytest.mark.parametrize("name", [framed, "tests.conditions.test_hints:framed"], ids=["the thing itself", "by name"])
def test_a_hint_of_ones_own(name):
    x = noise(2, 1, 5, 5)
    made = hint_of(name, {"width": 2, "unknown": 0})(x, Draws.fixed(2))
    assert torch.equal(made[:, 0, 2, 2], x[:, 0, 2, 2]) and int((made[:, 0] != 0).sum()) == 2
    assert torch.equal(made[:, 1:], Draws.fixed(2).rand(1, 5, 5))


def test_a_hint_of_ones_own_that_is_not_there():
    with pytest.raises(Usage, match="hint: cannot import tests.conditions.test_hints:nothing"):
        hint_of("tests.conditions.test_hints:nothing")
