import pytest
import torch

from fromnoise.conditions import Control, Example
from fromnoise.conditions.hints import HINTS
from fromnoise.draws import Draws
from fromnoise.errors import Usage
from fromnoise.networks import NETWORKS


def control(shape=(3, 8, 6), image=(1, 8, 6), **settings) -> Control:
    condition = Control(**{"hint": "edges", **settings})
    condition.init_layers(NETWORKS["unet"](channels=shape[0], width=8, levels=[1], blocks=1), Example(shape, image=image))
    return condition


def test_the_hint_is_made_of_x_or_the_data_s_own_picture():
    x, image = torch.rand(4, 3, 8, 6) * 2 - 1, torch.rand(4, 1, 8, 6)
    batch = {"x": x, "image": image}
    assert torch.equal(control().read(batch), HINTS["edges"](x, None))
    assert torch.equal(control(hint=None).read(batch), image)
    with pytest.raises(Usage, match="the data has none; name a hint"):
        control(hint=None, image=())
    with pytest.raises(Usage, match="conditioned on 'image', which the data does not have"):
        control(hint=None).read({"x": x})


@pytest.mark.parametrize(("settings", "key"), [({}, "edges"), ({"hint": None}, "hint"), ({"key": "outline"}, "outline")])
def test_its_key_is_the_hints_name_unless_it_is_said(settings, key):
    assert control(**settings).key == key


def test_a_hint_of_nan_is_the_null_condition_and_drop_makes_some():
    condition = control(drop=0.5)
    value = torch.rand(2000, 1, 8, 6)
    (hint,) = condition.train_context(value, Draws.fixed(2000)).hints.values()
    assert float(hint.weight.mean()) == pytest.approx(0.5, abs=0.05) and set(hint.weight.tolist()) == {0.0, 1.0}
    assert torch.equal(hint.picture[hint.weight > 0], value[hint.weight > 0]) and torch.isfinite(hint.picture).all()
    (whole,) = control().train_context(value, Draws.fixed(2000)).hints.values()
    assert (whole.weight == 1).all()
    assert control().null(3).hints == {}
    assert not torch.isfinite(control().default(3)).any()


def test_one_hint_or_one_per_sample():
    one, condition = torch.rand(1, 8, 6), control()
    assert torch.equal(condition.values(one, 3), one.expand(3, 1, 8, 6))
    assert torch.equal(condition.values(one[None], 3), one.expand(3, 1, 8, 6))
    many = torch.rand(3, 1, 8, 6)
    assert torch.equal(condition.values(condition.values(many, 3), 3), many)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (torch.rand(1, 8, 8), "the hint edges is 1x8x8 .*this model's are 1x8x6"),
        (torch.rand(3, 8, 6), "is 3x8x6"),
        (torch.rand(2, 1, 8, 6), "3 samples need one hint edges"),
        (torch.rand(8, 6), "3 samples need one hint"),
        (torch.full((1, 8, 6), 255.0), "127.5"),
        (torch.zeros(1, 8, 6, dtype=torch.uint8), "floats in"),
        ("edges.png", "floats in"),
    ],
)
def test_hints_that_cannot_be(value, says):
    with pytest.raises(Usage, match=says):
        control().values(value, 3)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hint": "egdes"}, "did you mean 'edges'"),
        ({"key": "two words"}, "a plain word"),
        ({"key": "pop"}, "a plain word"),
        ({"hint": None, "options": {"factor": 2}}, "no hint that they could be of"),
        ({"drop": 1.0}, "0 <= drop < 1"),
    ],
)
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(Usage, match=says):
        Control(**{"hint": "edges", **settings})


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_networks_say_whether_they_can_be_steered(name):
    if name in ("unet", "dit", "uvit"):
        assert Control("edges").plan(NETWORKS[name], Example((1, 8, 8))) == {}
    else:
        with pytest.raises(Usage, match=f"{NETWORKS[name].__name__} has no features"):
            Control("edges").plan(NETWORKS[name], Example((1, 8, 8)))


def test_the_branch_copies_the_network_as_it_is_when_layers_are_made():
    network, condition = NETWORKS["unet"](channels=3, width=8, levels=[1], blocks=1), Control("edges")
    torch.nn.init.constant_(network.conv_in.bias, 0.5)
    condition.init_layers(network, Example((3, 8, 6)))
    copy, whole = condition.branch.encoder.state_dict(), network.state_dict()
    assert copy and all(torch.equal(tensor, whole[name]) for name, tensor in copy.items())


def test_a_hint_comes_from_a_file():
    with pytest.raises(Usage, match="--control edges=a.png"):
        control().parse("a.png")
