import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from rich.console import Console

from fromnoise.data import DATASETS
from fromnoise.errors import Usage
from fromnoise.evaluation import Card, Protocol, Row, Sweep, evaluate, parse_scales, parse_steps
from fromnoise.figures import tradeoff
from fromnoise.model import Sampling
from tests.figures.pixels import pixels
from tests.parts import built

DDIM = Sampling("ddim", 4)


def toy_model(seed=0, conditions=("label",)):
    torch.manual_seed(seed)
    config = {"network": "mlp", "predict": "velocity", "noise": "flow", "conditions": list(conditions)}
    model = built(config, (2,), DATASETS["moons"](count=10).classes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def toy():
    train, test = (DATASETS["moons"](count=500, split=split) for split in ("train", "test"))
    return toy_model(), train, test


def test_scales_are_numbers_with_commas_and_rise():
    assert parse_scales("3, 1,1.5,1") == [1.0, 1.5, 3.0]
    for wrong in ("", "1", "1,1", "1,x", "1,nan", "1,inf", "1;2"):
        with pytest.raises(Usage, match="such as 1,1.5,2,4"):
            parse_scales(wrong)


def test_steps_are_whole_numbers_with_commas_and_rise():
    assert parse_steps("20, 5,5") == [5, 20]
    for wrong in ("", "0", "5,", "5,x", "5.5", "-1", "²"):
        with pytest.raises(Usage, match="such as 5,10,20"):
            parse_steps(wrong)


def test_every_scale_is_measured_as_if_alone(toy):
    found = evaluate(*toy, Protocol(100, scales=[0.0, 1.0, 3.0]), DDIM)
    assert isinstance(found, Sweep) and found.scales == [0.0, 1.0, 3.0]
    cards = found.lines["CFG"]
    for scale, card in zip(found.scales, cards, strict=True):
        assert card == evaluate(*toy, Protocol(100), replace(DDIM, guidance=scale))
    assert cards[0] != cards[1] != cards[2]
    assert [row["guidance"] for row in json.loads(json.dumps(found.json()))["rows"]] == [0, 1, 3]


def test_every_way_and_number_of_steps_is_a_line_measured_as_if_alone(toy):
    model, weak = toy[0], toy_model(seed=1)
    own = replace(DDIM, low=0.3, high=2.0, weak=weak, guidance=2.0)
    found = evaluate(*toy, Protocol(100, scales=[2.0, 3.0], sweep_steps=[3, 4]), own)
    whole = {"low": 0.0, "high": float("inf"), "weak": None}
    expected = {"CFG": whole, "CFG from 0.3 to 2": {"weak": None}, "autoguidance": whole | {"weak": weak}}
    assert list(found.lines) == [f"{name}, {count} steps" for name in expected for count in (3, 4)]
    for name, changes in expected.items():
        assert found.lines[f"{name}, 4 steps"][1] == evaluate(*toy, Protocol(100), replace(own, guidance=3.0, **changes))
    assert {row["way"] for row in found.json()["rows"]} == set(found.lines)
    drawn = model.sample(50, replace(DDIM, guidance=3.0, weak=weak))
    assert not torch.allclose(drawn, model.sample(50, replace(DDIM, guidance=3.0)), atol=1e-2)


def test_an_interval_that_is_the_models_own_is_one_line(toy):
    model = toy_model()
    model.sampling = Sampling("ddim", 3, high=2.0)
    found = evaluate(model, *toy[1:], Protocol(100, scales=[1.0, 3.0]), model.sampling)
    assert list(found.lines) == ["CFG"]
    assert found.lines["CFG"][1] == evaluate(model, *toy[1:], Protocol(100), replace(model.sampling, guidance=3.0))


def test_autoguidance_sweeps_a_model_without_conditions(toy):
    free = toy_model(conditions=[])
    found = evaluate(free, *toy[1:], Protocol(100, scales=[1.0, 2.0]), replace(DDIM, weak=toy[0]))
    assert list(found.lines) == ["autoguidance"]


def test_what_cannot_be_swept_is_refused(toy):
    with pytest.raises(Usage, match="one at a time"):
        Protocol(compare=[("ddim", 2)], scales=[1.0, 2.0])
    with pytest.raises(Usage, match="name its scales"):
        Protocol(sweep_steps=[1, 2])
    with pytest.raises(Usage, match="at least 2"):
        Protocol(n=1)
    with pytest.raises(Usage, match="no condition"):
        evaluate(toy_model(conditions=[]), *toy[1:], Protocol(100, scales=[1.0, 2.0]), DDIM)


def made(scales=(1.0, 2.0), floor=0.9, names=("CFG",)):
    rows = lambda g: [Row("Fréchet distance · CNN", 1 / g, 0.2), Row("recall · CNN", 0.8 / g, floor, better="higher"), Row("class accuracy · CNN", 0.5 * g, floor, better="higher"), Row("class accuracy: 3", 0.1)]  # noqa: E731, E501  # fmt: skip
    return Sweep(scales, {name: [Card("t", "CNN", 9, 9, "p", rows(g * (i + 1))) for g in scales] for i, name in enumerate(names)})


def test_the_table_has_a_row_a_scale_and_leaves_single_classes_out():
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(made(names=("CFG", "autoguidance")).table())
    text = console.export_text()
    assert "class accuracy: 3" not in text
    assert any(all(word in line for word in ("CFG", "2 ", "0.5", "0.4", "1")) for line in text.splitlines())
    assert any(all(word in line for word in ("autoguidance", "2 ", "0.25", "0.2", "2")) for line in text.splitlines())
    assert any("real data" in line and "0.9" in line for line in text.splitlines())


@pytest.mark.parametrize("floor", [0.9, None])
def test_the_curve_is_drawn_a_line_for_each_way(tmp_path, floor):
    path = tradeoff(made(floor=floor, names=("CFG", "autoguidance")), tmp_path / "guidance.png")
    for colour in ((31, 98, 168), (209, 102, 31)):
        share = (abs(pixels(Image.open(path)).astype(int) - colour).sum(-1) < 30).mean()
        assert 0.0005 < share < 0.05, "the lines are there"
    assert not [file for file in tmp_path.iterdir() if file != path]
