"""What every condition keeps to: a plan that changes nothing, chance that does not depend on how a batch is cut, and conditions of one's own."""

import sys

import pytest
import torch

from fromnoise.conditions import Control, Example, Image, Label, Text
from fromnoise.conditions.text import ENCODERS, Encoder, encoder_of
from fromnoise.config import Recipe
from fromnoise.draws import Draws
from fromnoise.errors import Problem, Usage
from fromnoise.networks import NETWORKS
from tests.parts import built, stirred

EXAMPLE = Example((3, 8, 8), ("a", "b", "c"), (1, 8, 8))
CONDITIONS = {
    "label": lambda: Label(drop=0.5),
    "text": lambda: Text(drop=0.5, width=64, enter="token"),
    "image": lambda: Image("masked", drop=0.5),
    "translation": lambda: Image(),
    "control": lambda: Control("masked", drop=0.5, key="inpaint"),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_plan_changes_nothing(name):
    condition = CONDITIONS[name]()
    before = dict(vars(condition))
    for network in (NETWORKS["unet"], NETWORKS["uvit"]):  # in any order, as often as one likes
        assert condition.plan(network, EXAMPLE) == CONDITIONS[name]().plan(network, EXAMPLE) == condition.plan(network, EXAMPLE)
    assert vars(condition) == before


@pytest.mark.parametrize("cut", [[4, 4], [1, 7], [3, 2, 3]])
def test_the_parts_of_a_batch_are_conditioned_as_the_whole_is(cut):
    """As micro-batches and processes cut it; holes, and what is dropped, are those of the whole batch."""
    network = stirred(NETWORKS["unet"](width=8, levels=[1], blocks=1, scale_shift=True, concat=4))
    draws, x = Draws(("step", 3), range(8), 8), torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = {"x": x, "label": torch.arange(8) % 3}
    for name in ("label", "image", "control"):
        condition = CONDITIONS[name]()
        condition.init_layers(network, EXAMPLE)
        whole, parts, first = condition.train_context(condition.read(batch, draws), draws), [], 0
        for size in cut:
            rows = slice(first, first + size)
            mine, first = {key: value[rows] for key, value in batch.items()}, first + size
            parts.append(condition.train_context(condition.read(mine, draws.part(rows)), draws.part(rows)))
        joined = parts[0]
        for part in parts[1:]:
            joined = joined.cat(part)
        if name == "control":
            (a,), (b,) = whole.hints.values(), joined.hints.values()
            assert torch.equal(a.picture, b.picture) and torch.equal(a.weight, b.weight) and 0 < float(a.weight.mean()) < 1
        else:
            place = "vector" if name == "label" else "concat"
            assert torch.equal(getattr(whole, place), getattr(joined, place))
            assert len(getattr(whole, place).flatten(1).unique(dim=0)) > 2, "some are dropped, and those that are not differ"


def test_conditions_have_streams_of_their_own():
    batch = {"x": torch.ones(16, 1, 8, 8)}
    draws = Draws.fixed(16, 1)
    one, other = (Control("masked", key=key).read(batch, draws) for key in ("one", "other"))
    assert not torch.equal(one, other) and torch.equal(one, Control("masked", key="one").read(batch, draws))


@pytest.mark.parametrize(
    ("text", "value"),
    [("30", 30), ("0.5", 0.5), ("-1e3", -1000.0), ("1, 2.5,3", [1, 2.5, 3]), ("red", "red"), ("red,2", ["red", 2]), ("two words", "two words")],
)
def test_words_of_the_command_line(text, value):
    class Plain(Label):
        parse = Label.__mro__[1].parse

    found = Plain().parse(text)
    assert found == value and type(found) is type(value)
    assert Text().parse(text) == text
    with pytest.raises(Usage, match="--image"):
        Image("grey").parse(text)


MINE = '''
import torch
from torch import nn
from fromnoise.conditions import Condition
from fromnoise.networks import Context

class Angle(Condition):
    """How far an example is turned, in degrees."""

    key, ways = "angle", ("add",)

    def init_layers(self, network, example):
        super().init_layers(network, example)
        self.proj, self.null_vector = nn.Linear(2, network.dim), nn.Parameter(torch.randn(network.dim))

    def forward(self, value):
        turn = torch.deg2rad(value.float()).nan_to_num()
        vector = self.proj(torch.stack([turn.cos(), turn.sin()], 1).to(self.proj.weight))
        return Context(vector=torch.where(value.isnan().to(vector.device)[:, None], self.null_vector, vector))

    def nothing(self, n):
        return torch.full((n,), torch.nan)
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("mine", None)


def test_a_condition_of_ones_own(mine):
    torch.manual_seed(0)
    config = {
        "network": {"name": "unet", "width": 8, "levels": [1], "blocks": 1},
        "conditions": [{"name": "mine:Angle", "drop": 0.5}],
        "sample": {"steps": 2},
    }
    model = built(config, (1, 8, 8))
    condition = model.conditions["angle"]
    stirred(model.denoiser.network).train()
    batch = {"x": torch.randn(16, 1, 8, 8), "angle": torch.linspace(0, 350, 16)}
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    before = [parameter.clone() for parameter in condition.parameters()]
    model(batch, model.noise((torch.arange(16) + 0.5) / 16)).mean().backward()
    optimizer.step()
    assert len(before) == 3 and not any(torch.equal(a, b) for a, b in zip(before, condition.parameters(), strict=True))
    drawn = model.sample(2, angle=30.0)
    assert torch.allclose(model.sample(2, angle=condition.parse("30")), drawn) and torch.allclose(model.sample(2, angle=[390.0, 30.0]), drawn, atol=1e-4)
    assert not torch.allclose(model.sample(2, angle=210.0), drawn, atol=1e-3)
    assert torch.isfinite(model.sample(2, angle=30.0, guidance=3.0)).all() and torch.isfinite(model.sample(2)).all()
    for value, says in (("north", "an? angle is a number"), ([1.0, 2.0, 3.0], "2 samples need one angle or 2")):
        with pytest.raises(Usage, match=says):
            model.sample(2, angle=value)
    with pytest.raises(Usage, match="angle cannot enter DiT"):
        built(config | {"network": {"name": "dit", "width": 32, "depth": 1, "heads": 2}}, (1, 8, 8))


@pytest.mark.parametrize("node", [{"name": "image", "hint": "mine:hint"}, {"name": "text", "encoder": "mine:Letters"}, {"name": "mine:Angle"}])
def test_nothing_of_ones_own_is_imported_where_it_is_not_trusted(mine, node):
    with pytest.raises(Problem, match="trust"):
        Recipe.of({"conditions": [node]}).check_trusted(False, "runs/x")
    assert "mine" not in sys.modules


class Letters(Encoder):
    """A text encoder of one's own: a vector for each of its first letters."""

    def __init__(self, width: int = 32, length: int = 8):
        super().__init__()
        self.width, self.length, self.table = width, length, torch.nn.Embedding(256, width)

    def forward(self, texts):
        codes = [list(text.encode()[: self.length]) or [0] for text in texts]
        mask = torch.tensor([[i < len(code) for i in range(self.length)] for code in codes])
        return self.table(torch.tensor([code + [0] * (self.length - len(code)) for code in codes])), mask


def test_a_text_encoder_of_ones_own():
    node = {"name": "text", "encoder": "tests.conditions.test_condition:Letters", "width": 16, "enter": "cross"}
    model = built({"network": {"name": "dit", "width": 32, "depth": 1, "heads": 2}, "conditions": [node]}, (1, 8, 8))
    stirred(model.denoiser.network)
    a, b = (model.sample(1, text=text, steps=2) for text in ("cat", "dog"))
    assert a.shape == (1, 1, 8, 8) and not torch.allclose(a, b, atol=1e-4)
    assert isinstance(encoder_of(Letters, length=3), Letters) and set(ENCODERS) == {"words"}
    with pytest.raises(Usage, match="leave width 16 out"):
        encoder_of("some/pretrained", width=16)
