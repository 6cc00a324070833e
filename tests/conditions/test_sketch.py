"""Hints: what is known of them from drawn pictures, and what must not change them."""

import pytest
import torch

from fromnoise.conditions.hints import HINTS, LASTING, edges, lines, palette, segments
from fromnoise.conditions.hints.filters import blur, dilated, directions, shifted, sobel
from fromnoise.conditions.hints.sketch import REGIONS
from fromnoise.data.sets.shapes import shapes


def square(size: int = 24, low: int = 7, high: int = 17, dark: float = -1.0, bright: float = 1.0) -> torch.Tensor:
    x = torch.full((1, 1, size, size), dark)
    x[..., low:high, low:high] = bright
    return x


def outline(x: torch.Tensor) -> torch.Tensor:
    """The pixels of a drawn shape that touch what is not of it, and those that it touches."""
    inside = x > x.mean()
    return dilated(inside) & dilated(~inside)


@pytest.fixture(scope="module")
def drawn() -> torch.Tensor:
    data = shapes(count=24)
    return data.get(torch.arange(24))["x"]


def test_edges_of_a_square_are_its_outline():
    x = square()
    found = edges(x) > 0
    assert not (found & ~outline(x)).any(), "nothing beyond a pixel of the outline"
    assert (outline(x) & ~dilated(found)).sum() == 0, "and no part of it is missed by more than a pixel"
    assert 30 <= int(found.sum()) <= 44, "a line one pixel thin: 10 to 11 a side, corners rounded"
    assert set(edges(x).unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize(("size", "count"), [((40,), 2), ((20, 20), None), ((12, 12, 12), None)], ids=str)
def test_edges_on_one_to_three_axes_are_thin_and_where_the_step_is(size, count):
    x = torch.full((1, 2, *size), -0.5)
    x[(..., *[slice(4, 9)] * len(size))] = 0.5
    found = edges(x) > 0
    assert found.shape == (1, 1, *size) and not (found & ~outline(x[:, :1])).any() and found.any()
    assert count is None or int(found.sum()) == count


@pytest.mark.parametrize("name", ["edges", "lines", "segments"])
def test_a_shift_of_the_picture_is_a_shift_of_the_hint(name):
    x = square(28, 9, 18)
    assert torch.allclose(HINTS[name](x.roll((3, -2), (2, 3)), None), HINTS[name](x, None).roll((3, -2), (2, 3)), atol=1e-5)


def test_edges_do_not_depend_on_contrast_and_brightness(drawn):
    found = edges(drawn)
    for contrast, brightness in ((0.5, 0.0), (0.25, 0.5), (0.5, -0.4), (-0.5, 0.0)):
        same = (edges(contrast * drawn + brightness) == found).float().mean()
        assert same > (0.999 if contrast > 0 else 0.97), "up to ties, which a negative decides the same way but for rounding"


def test_edges_need_more_than_faint_noise():
    x = 0.005 * torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert not (edges(x) > 0).any() and not (edges(torch.zeros(1, 1, 8, 8)) > 0).any()


def test_weak_edges_count_where_they_hang_on_strong_ones():
    """A step that fades from steep to shallow along its length is one edge; the shallow part alone, beside something steeper, is none."""
    x = torch.zeros(1, 1, 24, 40)
    x[..., 12:, :] = torch.linspace(1.0, 0.14, 40)
    assert (edges(x) > 0)[..., 2:-2].any(2).all()
    alone = torch.zeros(1, 1, 24, 40)
    alone[..., 12:, 30:] = 0.15
    alone[..., 12:, :12] = 1.0
    assert not (edges(alone) > 0)[..., 24:].any() and (edges(alone) > 0)[..., :12].any()


def test_edges_see_a_change_of_colour_that_brightness_does_not():
    x = torch.zeros(1, 3, 16, 16)
    x[:, 0, :, 8:], x[:, 1, :, 8:] = 0.5, -0.5 * 0.299 / 0.587
    found = edges(x) > 0
    assert found[..., 7:9].any(-1).all() and not found[..., :6].any() and not found[..., 10:].any()


def test_lines_lie_on_the_dark_side_and_nowhere_else():
    x = square()
    ink = lines(x)
    assert ink.min() >= -1 and ink.max() <= 1 and ink[(x < 0) & outline(x)].mean() > 0.3
    assert (ink[x > 0] <= -0.999).all() and (ink[~dilated(x > 0, 6)] < -0.99).all()
    assert lines(square(dark=0.2, bright=0.4)).max() < ink.max(), "a fainter contour is a fainter line"


@pytest.mark.parametrize("count", [1, 2, REGIONS])
def test_segments_of_few_colours_are_those(count):
    draw = torch.Generator().manual_seed(count)
    colours = torch.rand(5, count, 3, generator=draw) * 2 - 1
    which = torch.randint(count, (5, 144), generator=draw)
    x = colours.gather(1, which[..., None].expand(-1, -1, 3)).mT.reshape(5, 3, 12, 12)
    assert torch.allclose(segments(x), x, atol=1e-5)


def test_segments_are_few_flat_and_the_means_of_what_they_cover(drawn):
    noisy = drawn + 0.05 * torch.randn(drawn.shape, generator=torch.Generator().manual_seed(0))
    for x, painted in zip(noisy, segments(noisy), strict=True):
        colours, which = painted.flatten(1).T.unique(dim=0, return_inverse=True)
        assert 2 <= len(colours) <= REGIONS
        for i, colour in enumerate(colours):
            assert torch.allclose(x.flatten(1).T[which == i].mean(0), colour, atol=0.02), "Lloyd's steps have about settled"


def test_segments_do_not_depend_on_where_colours_lie():
    x = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(48, generator=torch.Generator().manual_seed(1))
    mixed = x.flatten(2)[..., order].reshape(x.shape)
    assert torch.allclose(segments(mixed).flatten(2), segments(x).flatten(2)[..., order], atol=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (9, 13), (5, 40), (20,), (9, 10, 11)], ids=str)
def test_a_palette_keeps_the_mean_and_has_eight_cells_a_side(size):
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    painted = palette(x)
    assert painted.shape == x.shape and painted.flatten(2).mean(2).sub(x.flatten(2).mean(2)).abs().max() < 0.1
    assert len(painted[0, 0].unique()) == torch.tensor([min(8, n) for n in size]).prod()
    if size == (32, 32):
        assert torch.allclose(painted[..., 4:8, 8:12].amax((2, 3)), x[..., 4:8, 8:12].mean((2, 3)), atol=1e-6)


CHANCE = [name for name, hint in HINTS.items() if hint not in LASTING]


@pytest.mark.parametrize("name", CHANCE)
def test_hints_that_do_not_last_are_chance(name):
    """So that those which do are all of the others: copies of one example have hints of their own."""
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).expand(8, -1, -1, -1)
    made = HINTS[name](x, None)
    assert len(torch.unique(made, dim=0)) > 1 and torch.equal(HINTS[name](x, None), made)


@pytest.mark.parametrize("name", [name for name in HINTS if name not in CHANCE])
def test_every_hint_is_in_range_the_same_twice_and_of_its_sample_alone(name, drawn):
    made = HINTS[name](drawn, None)
    assert made.shape[0] == len(drawn) and made.abs().max() <= 1 + 1e-5 and torch.isfinite(made).all()
    assert torch.equal(HINTS[name](drawn, None), made)
    assert torch.allclose(torch.cat([HINTS[name](x[None], None) for x in drawn]), made, atol=1e-4)


def test_the_filters_are_what_their_names_say():
    ramp = torch.arange(10.0).expand(1, 1, 6, 10)
    slopes = sobel(ramp)
    assert torch.equal(slopes[0], torch.zeros(1, 1, 6, 10)) and torch.allclose(slopes[1][..., 1:-1], torch.ones(1, 1, 6, 8))
    assert torch.allclose(blur(ramp, 1.0)[..., 3:-3], ramp[..., 3:-3], atol=1e-5), "a Gaussian leaves a ramp as it is"
    spot = torch.zeros(1, 1, 21, 21)
    spot[..., 10, 10] = 1
    soft, at = blur(spot, 1.5)[0, 0], torch.arange(21.0) - 10
    assert float(soft.sum()) == pytest.approx(1, abs=1e-5)
    assert float((soft.sum(0) * at.square()).sum()) == pytest.approx(1.5**2, rel=0.03), "its variance is sigma²"
    assert torch.equal(shifted(ramp, (0, 2))[..., :8], ramp[..., 2:]) and (shifted(ramp, (0, 2))[..., 8:] == 9).all()
    assert int(dilated(spot > 0).sum()) == 9 and int(dilated(spot > 0, 2).sum()) == 25
    assert [len(list(directions(axes))) for axes in (1, 2, 3)] == [1, 4, 13]
