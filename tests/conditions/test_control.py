import pytest
import torch

from fromnoise.conditions import Control
from fromnoise.conditions.hints.hints import HINTS
from fromnoise.errors import Usage
from fromnoise.networks import NETWORKS


def control(shape=(3, 8, 6), **settings) -> Control:
    condition = Control(**{"hint": "edges", **settings})
    network = NETWORKS["unet"](channels=shape[0], width=8, levels=[1], blocks=1)
    condition.enters("unet", network.ways)
    condition.settle(network.dim, shape)
    condition.join(network)
    return condition


def test_the_hint_is_made_of_x_or_the_data_s_own_picture():
    x, image = torch.rand(4, 3, 8, 6) * 2 - 1, torch.rand(4, 1, 8, 6)
    batch = {"x": x, "image": image}
    assert torch.equal(control().read(batch), HINTS["edges"](x, None))
    assert torch.equal(control(hint=None, channels=1).read(batch), image)
    with pytest.raises(Usage, match="names? no hint|no hint named"):
        control(hint=None).read({"x": x})
    with pytest.raises(Usage, match="the hint hint is 1x8x6 .*, this model's are 3x8x6"):
        control(hint=None).read(batch)


@pytest.mark.parametrize(("settings", "key"), [({}, "edges"), ({"hint": None}, "hint"), ({"key": "outline"}, "outline")])
def test_its_key_is_the_hints_name_unless_it_is_said(settings, key):
    assert control(**settings).key == key


def test_a_hint_of_nan_asks_nothing_and_drop_makes_some():
    condition = control(drop=0.5)
    value = torch.rand(2000, 1, 8, 6)
    (hint,) = condition.train_context(value, torch.Generator().manual_seed(0)).hints.values()
    assert float(hint.weight.mean()) == pytest.approx(0.5, abs=0.05) and set(hint.weight.tolist()) == {0.0, 1.0}
    assert torch.equal(hint.picture[hint.weight > 0], value[hint.weight > 0]) and torch.isfinite(hint.picture).all()
    (whole,) = control().train_context(value).hints.values()
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
        ({"channels": 1}, "leave them out"),
        ({"drop": 1.0}, "0 <= drop < 1"),
    ],
)
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(Usage, match=says):
        Control(**{"hint": "edges", **settings})


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_networks_say_whether_they_can_be_steered(name):
    if name in ("unet", "dit", "uvit"):
        assert Control("edges").enters(name, NETWORKS[name].ways) == {}
    else:
        with pytest.raises(Usage, match=f"{name} has no features"):
            Control("edges").enters(name, NETWORKS[name].ways)
