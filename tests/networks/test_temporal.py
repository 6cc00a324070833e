"""Temporal layers: an image network that becomes one of clips, and what its frames know of each other."""

import pytest
import torch

from fromnoise.errors import Usage
from fromnoise.networks import NETWORKS, Branch, Context, ControlHint
from fromnoise.networks.context import apart
from fromnoise.networks.layers.embed import rotation, turned
from fromnoise.networks.layers.temporal import Temporal
from tests.parts import stirred

SMALL = {
    "unet": {"width": 8, "levels": [1, 2], "blocks": 1, "attention": [1]},
    "dit": {"width": 16, "depth": 3, "heads": 2, "patch": 2},
    "uvit": {"width": 16, "depth": 3, "heads": 2, "patch": 2},
}
CLIPS, FRAMES = torch.randn(2, 3, 5, 8, 6, generator=torch.Generator().manual_seed(0)), 5


def both(name: str, **more):
    """An image network, and the same with temporal layers on its weights."""
    torch.manual_seed(0)
    image = stirred(NETWORKS[name](channels=3, axes=2, **SMALL[name], **more))
    video = NETWORKS[name](channels=3, axes=2, **SMALL[name], **more, temporal=True)
    found = video.load_state_dict(image.state_dict(), strict=False)
    assert not found.unexpected_keys and all(".temporal." in key for key in found.missing_keys)
    return image, video


def stirred_in_time(name: str, **more):
    _, video = both(name, **more)
    torch.manual_seed(1)
    for key, p in video.named_parameters():
        if ".temporal." in key:
            torch.nn.init.normal_(p, std=0.3)
    return video


@pytest.mark.parametrize("more", [{}, {"context_dim": 4}, {"concat": 1}], ids=["alone", "tokens", "beside"])
@pytest.mark.parametrize("name", SMALL)
def test_at_first_each_frame_is_the_image_networks_bit_for_bit(name, more):
    image, video = both(name, **more)
    t, vector = torch.tensor([0.2, 0.7]), torch.randn(2, image.dim)
    tokens, beside = torch.randn(2, 3, 4) if "context_dim" in more else None, CLIPS[:, :1] if "concat" in more else None
    found = video(CLIPS, t, Context(vector=vector, tokens=tokens, concat=beside))
    each = {key: None if value is None else value.repeat_interleave(FRAMES, 0) for key, value in (("vector", vector), ("tokens", tokens))}
    expected = image(apart(CLIPS), t.repeat_interleave(FRAMES), Context(**each, concat=None if beside is None else apart(beside)))
    assert found.shape == CLIPS.shape and torch.equal(apart(found), expected)


@pytest.mark.parametrize("name", SMALL)
def test_single_pictures_are_seen_as_by_the_image_network(name):
    image, _ = both(name)
    video, t = stirred_in_time(name), torch.rand(2 * FRAMES)
    assert torch.equal(video(apart(CLIPS), t), image(apart(CLIPS), t))
    for network, x in ((image, apart(CLIPS)), (video, apart(CLIPS))):
        with pytest.raises(Usage, match=r"give t \(B,\), or build it with temporal: true"):
            network(x, t[:, None].expand(-1, FRAMES))


@pytest.mark.parametrize("name", SMALL)
def test_a_time_of_each_frame_is_that_of_its_picture(name):
    image, video = both(name)
    t = torch.rand(2, FRAMES)
    assert torch.equal(apart(video(CLIPS, t)), image(apart(CLIPS), t.flatten()))
    assert torch.equal(video(CLIPS, t[:, :1].expand(2, FRAMES)), video(CLIPS, t[:, 0]))


@pytest.mark.parametrize("name", SMALL)
def test_frames_know_of_each_other_in_their_order_and_stills_do_not(name):
    video, t = stirred_in_time(name), torch.tensor([0.2, 0.7])
    other = CLIPS.clone()
    other[:, :, 4] = -other[:, :, 4]
    moved = (video(other, t) - video(CLIPS, t)).abs().amax((0, 1, 3, 4))
    assert bool((moved > 1e-5).all()), "every frame sees every other"
    swapped = [0, 2, 1, 3, 4]
    assert not torch.allclose(video(CLIPS[:, :, swapped], t)[:, :, swapped], video(CLIPS, t), atol=1e-4), "and in which order"
    alone = video(other, t, Context(stills=True)) - video(CLIPS, t, Context(stills=True))
    assert not bool(alone[:, :, :4].any()) and bool(alone[:, :, 4].any())


@pytest.mark.parametrize("attend", [False, True])
@pytest.mark.parametrize("maps", [False, True])
def test_each_place_is_by_itself(maps, attend):
    torch.manual_seed(0)
    layer = stirred(Temporal(8, 4, attend, maps=maps)).double()
    x = torch.randn(3 * 6, *((8, 2, 3) if maps else (6, 8)), dtype=torch.float64)
    place = (..., 1, 2) if maps else (slice(None), 5)
    other, there = x.clone(), torch.zeros_like(x, dtype=torch.bool)
    other[place] += 1
    there[place] = True
    changed = (layer(other, 6) - layer(x, 6)).abs() > 1e-12
    assert bool(changed.any()) and not bool((changed & ~there).any())


def test_the_convolution_sees_one_frame_before_and_one_behind_and_not_which_number_it_has():
    torch.manual_seed(0)
    layer = stirred(Temporal(8, attend=False)).double()
    still, bump = torch.zeros(12, 4, 8, dtype=torch.float64), torch.randn(4, 8, dtype=torch.float64)
    early, late = still.clone(), still.clone()
    early[5], late[6] = bump, bump
    assert torch.allclose(layer(early, 12)[3:9], layer(late, 12)[4:10], atol=1e-12)
    seen = (layer(early, 12) - layer(still, 12)).abs().amax((1, 2)) > 1e-12
    assert seen.nonzero().flatten().tolist() == [4, 5, 6]


def test_attention_over_time_knows_how_far_frames_are_apart_and_not_their_numbers():
    """The scores of a query with keys that are all the same lie in diagonals: each is of a difference of frames."""
    torch.manual_seed(0)
    layer = Temporal(8, 4).double()
    torch.nn.init.normal_(layer.attention.out.weight)
    q = torch.randn(1, 2, 1, 4, dtype=torch.float64).expand(1, 2, 9, 4)
    turn = rotation((9,), 4, 0, torch.device("cpu"))
    scores = (turned(q, turn) @ turned(q, turn).mT)[0, 0]
    for step in range(1, 9):
        along = scores.diagonal(step)
        assert torch.allclose(along, along[0].expand_as(along), atol=1e-5)
    assert not torch.allclose(scores[0, 1], scores[0, 2])
    assert layer(torch.randn(30, 4, 8, dtype=torch.float64), 30).isfinite().all(), "clips longer than any before"


@pytest.mark.parametrize("name", SMALL)
def test_one_frame_is_a_clip_too(name):
    assert stirred_in_time(name)(CLIPS[:, :, :1], torch.tensor([0.2, 0.7])).shape == (2, 3, 1, 8, 6)


@pytest.mark.parametrize("name", SMALL)
def test_a_control_branch_reads_a_hint_of_every_frame(name):
    video = stirred_in_time(name)
    branch = stirred(Branch(video, 1, 3))
    hint, t = torch.rand(2, 1, *CLIPS.shape[2:]), torch.tensor([0.2, 0.7])
    both = Context(hints={"edges": ControlHint(branch, hint, torch.tensor([1.0, 0.0]))})
    found, plain = video(CLIPS, t, both.resolve_controls(CLIPS, t, t)), video(CLIPS, t)
    assert torch.equal(found[1], plain[1]) and not torch.allclose(found[0], plain[0], atol=1e-3)
    assert not any(bool(residual.any()) for residual in Branch(video, 1, 3)(CLIPS, t, Context(), hint))


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_temporal_layer_at_the_first_step(name):
    _, video = both(name)
    video(CLIPS, torch.tensor([0.2, 0.7])).square().mean().backward()
    ends = [key for key, _ in video.named_parameters() if key.endswith(("temporal.conv_out.weight", "temporal.attention.out.weight"))]
    assert len(ends) >= 6 and all(bool(video.get_parameter(key).grad.any()) for key in ends)


def test_levels_that_there_are_not_are_refused():
    with pytest.raises(Usage, match="temporal_attention name levels 0 to 1"):
        NETWORKS["unet"](**SMALL["unet"], temporal=True, temporal_attention=[2])
    with pytest.raises(Usage, match="there are none; set temporal: true"):
        NETWORKS["unet"](**SMALL["unet"], temporal_attention=[1])
