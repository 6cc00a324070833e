"""Pictures as conditions: what is told, dropped and kept, and a translation learnt in seconds."""

import pytest
import torch

from fromnoise.conditions import Example, Image
from fromnoise.data import Tensors
from fromnoise.draws import Draws
from fromnoise.errors import Usage
from fromnoise.evaluation.examples import example_conditions
from fromnoise.model import Model
from fromnoise.networks import NETWORKS
from fromnoise.samplers import SAMPLERS
from tests.parts import built

PAIRED = {"network": {"name": "conv", "width": 8, "kernel": 3}, "conditions": ["image"], "image": [2, 6, 6]}


def hinted(hint, shape=(1, 6, 6), drop=0.1, **options) -> Model:
    condition = {"name": "image", "hint": hint, "drop": drop, "options": options}
    return built(PAIRED | {"conditions": [condition], "image": []}, shape)


def image(shape, second=(), **settings) -> Image:
    condition = Image(**settings)
    condition.init_layers(NETWORKS["conv"](channels=shape[0], width=8, kernel=3, concat=1), Example(shape, image=second))
    return condition


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_picture_lies_beside_x():
    condition, value = image((1, 4, 4), (2, 4, 4)), noise(3, 2, 4, 4)
    assert condition.plan(NETWORKS["conv"], Example((1, 4, 4), image=(2, 4, 4))) == {"concat": 2}
    assert torch.equal(condition(condition.read({"x": noise(3, 1, 4, 4, seed=1), "image": value})).concat, value)
    assert torch.equal(condition.null(2).concat, torch.zeros(2, 2, 4, 4))


@pytest.mark.parametrize("hint", [None, "masked"])
def test_the_share_that_is_dropped_and_the_rest_whole(hint):
    n, condition = 4000, image((1, 4, 4), (1, 4, 4), drop=0.25, hint=hint)
    picture = noise(n, 1, 4, 4)
    told = condition.train_context(condition.read({"x": picture, "image": picture}), Draws.fixed(n)).concat
    gone = (told == 0).flatten(1).all(1)
    assert float(gone.float().mean()) == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / n) ** 0.5)
    assert torch.equal(told[~gone], condition.made(picture)[~gone])


def test_training_holes_are_functions_of_the_draws_and_shown_ones_are_fixed():
    condition, batch = image((1, 8, 8), drop=0.3, hint="masked"), {"x": noise(16, 1, 8, 8)}

    def told(seed):
        draws = Draws.fixed(16, seed)
        return condition.train_context(condition.read(batch, draws), draws).concat

    assert torch.equal(told(1), told(1)) and not torch.equal(told(1), told(2))
    assert torch.equal(condition.read(batch), condition.read(batch))


def test_the_width_is_the_hints_or_the_datas():
    for hint, shape, width in (("grey", (3, 6, 6), 1), ("low_resolution", (3, 6, 6), 3), ("masked", (3, 6, 6), 4), (None, (3, 6, 6), 2)):
        assert Image(hint).plan(NETWORKS["conv"], Example(shape, image=(2, 6, 6))) == {"concat": width}
    assert built(PAIRED, (1, 6, 6)).denoiser.network.conv_in.in_channels == 1 + 2


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (noise(3, 6, 6), "image is 3x6x6 .*this model's are 2x6x6"),
        (noise(2, 5, 6), "is 2x5x6"),
        (noise(2, 2, 6, 6), "3 samples need one image or 3"),
        (torch.zeros(2, 6, 6, dtype=torch.uint8), "127.5"),
        (100 * noise(2, 6, 6), "127.5"),
        (torch.full((2, 6, 6), float("nan")), "127.5"),
    ],
)
def test_pictures_that_do_not_fit(value, says):
    with pytest.raises(Usage, match=says):
        built(PAIRED, (1, 6, 6)).sample(3, image=value, steps=1)


@pytest.mark.parametrize(
    ("node", "image", "says"),
    [
        ("image", (), "data: pairs"),
        ({"name": "image", "hint": "gray"}, (), "did you mean 'grey'"),
        ({"name": "image", "hint": "low_resolution", "options": {"factor": 0}}, (), "whole number from 2"),
        ({"name": "image", "channels": 3}, (2, 6, 6), "no setting 'channels'"),
        ({"name": "image", "enter": "cross"}, (2, 6, 6), "enters by concat"),
        ("image", (2, 5, 6), "does not lie beside"),
    ],
)
def test_conditions_that_cannot_be(node, image, says):
    with pytest.raises(Usage, match=says):
        built(PAIRED | {"conditions": [node], "image": list(image)}, (1, 6, 6))


def test_without_drop_there_is_no_null_and_the_picture_is_never_left_out():
    model = hinted("grey", drop=0.0)
    x = noise(50, 1, 6, 6)
    assert torch.equal(model.conditions["image"].train_context(x, Draws.fixed(50)).concat, x)
    with pytest.raises(Usage, match="cannot be guided"):
        model.sample(1, image=x[:1], guidance=2.0, steps=1)


def test_samples_do_not_depend_on_the_batch_and_each_has_its_picture():
    torch.manual_seed(0)
    model, pictures = built(PAIRED | {"sample": {"name": "ddpm", "steps": 3, "guidance": 2}}, (1, 6, 6)), noise(5, 2, 6, 6)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    whole, parts = model.sample(5, image=pictures), model.sample(5, image=pictures, batch=2)
    assert torch.allclose(whole, parts, atol=1e-5)
    assert torch.allclose(model.sample(1, image=pictures[0]), whole[:1], atol=1e-5)
    assert not torch.allclose(model.sample(1, image=pictures[1]), whole[:1], atol=1e-2)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("noises", ["cosine", "karras"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_known_is_kept_by_every_sampler(sampler, noises, guidance):
    torch.manual_seed(0)
    frame = "ve" if noises == "karras" else "vp"
    config = {"conditions": [{"name": "image", "hint": "masked"}], "noise": noises, "frame": frame, "network": PAIRED["network"]}
    model = built(config, (2, 8, 8))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x = noise(4, 2, 8, 8)
    value = model.conditions["image"].made(x)
    known = value[:, -1:].expand_as(x) > 0
    made = model.sample(4, image=value, sampler=sampler, steps=6, guidance=guidance)
    assert torch.allclose(made[known], x[known], atol=1e-4) and not torch.allclose(made[~known], x[~known], atol=0.1)


def test_what_is_remembered_belongs_together():
    """Where examples are remembered for their pictures, their labels are too, and every number of samples begins with the same ones."""
    data = Tensors("pairs", noise(40, 1, 6, 6), torch.arange(40) // 4, image=noise(40, 2, 6, 6, seed=1))
    model = built(PAIRED | {"conditions": ["label", "image"]}, data.shape, data.classes)
    model.set_examples(example_conditions(model, data, 8))
    asked = model.with_defaults(11, {})
    rows = torch.arange(8) * 5
    assert asked["label"].tolist() == [*data.label[rows].tolist(), *data.label[rows[:3]].tolist()]
    assert torch.equal(asked["image"][:8], data.image[rows]) and torch.equal(asked["image"][8:], data.image[rows[:3]])
    assert torch.equal(model.with_defaults(3, {})["image"], asked["image"][:3])


def test_a_label_alone_still_goes_through_every_class():
    model = built({"network": PAIRED["network"], "conditions": ["label"]}, (1, 6, 6), tuple("abc"))
    data = Tensors("set", noise(4, 1, 6, 6), torch.tensor([0, 0, 0, 2]))
    model.set_examples(example_conditions(model, data, 8))
    assert model.with_defaults(5, {})["label"].tolist() == [0, 1, 2, 0, 1]


def test_a_tiny_model_learns_the_identity():
    """Told x itself, the loss falls far below what can be had without being told, and the samples are the pictures they were asked for."""
    torch.manual_seed(0)
    config = {
        "network": {"name": "conv", "width": 32, "kernel": 3},
        "conditions": [{"name": "image", "drop": 0.2}],
        "image": [1, 6, 6],
        "noise": "flow",
        "predict": "velocity",
    }
    model = built(config, (1, 6, 6))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(400):
        x = torch.where(noise(64, 1, 6, 6, seed=step) > 0, 0.8, -0.8)
        optimizer.zero_grad()
        model(
            {"x": x, "image": x}, model.noise((torch.arange(64) + 0.5) / 64), draws=Draws.fixed(64, step)
        ).mean().backward()
        optimizer.step()
    x = torch.where(noise(256, 1, 6, 6, seed=999) > 0, 0.8, -0.8)
    level, losses = model.noise(torch.linspace(0.2, 0.98, 256)), {}
    model.conditions["image"].drop = 0.0
    with torch.no_grad():
        for name, image in {"told": x, "not told": torch.zeros_like(x)}.items():
            losses[name] = float(model({"x": x, "image": image}, level, draws=Draws.fixed(len(x))).mean())
    assert losses["told"] < losses["not told"] / 4
    model.conditions["image"].drop = 0.2
    made = model.sample(64, image=x[:64], steps=10)
    assert float((made.sign() == x[:64].sign()).float().mean()) > 0.97
