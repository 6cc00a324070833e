import json

import pytest
import torch
from PIL import Image
from rich.console import Console

from fromnoise import model as models
from fromnoise.data import DATASETS
from fromnoise.errors import Usage
from fromnoise.evaluation import Card, Row, Sweep, score_run
from fromnoise.evaluation.sweep import counts, scales
from fromnoise.figures import tradeoff
from tests.figures.pixels import pixels


def toy_model(seed=0, conditions=("label",)):
    torch.manual_seed(seed)
    config = {"network": "mlp", "predict": "velocity", "noise": "flow", "conditions": list(conditions)}
    model = models.build(config, (2,), DATASETS["moons"](count=10).classes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def toy():
    train, test = (DATASETS["moons"](count=500, split=split) for split in ("train", "test"))
    return toy_model(), train, test


def test_scales_are_numbers_with_commas_and_rise():
    assert scales("3, 1,1.5,1") == [1.0, 1.5, 3.0]
    for wrong in ("", "1", "1,1", "1,x", "1,nan", "1,inf", "1;2"):
        with pytest.raises(Usage, match="such as 1,1.5,2,4"):
            scales(wrong)


def test_every_scale_is_measured_as_if_asked_for_alone(toy):
    found = score_run(*toy, n=100, walk={"sampler": "ddim", "steps": 4}, sweep="0,3")
    assert isinstance(found, Sweep) and found.scales == [0.0, 3.0]
    cards = found.lines["CFG"]
    for scale, card in zip(found.scales, cards, strict=True):
        assert card == score_run(*toy, n=100, walk={"sampler": "ddim", "steps": 4, "guidance": scale})
    assert cards[0] != cards[1]
    assert [row["guidance"] for row in json.loads(json.dumps(found.json()))["rows"]] == [0, 3]


def test_steps_are_whole_numbers_with_commas_and_rise():
    assert counts("20, 5,5") == [5, 20]
    for wrong in ("", "0", "5,", "5,x", "5.5", "-1", "²"):
        with pytest.raises(Usage, match="such as 5,10,20"):
            counts(wrong)


def test_every_way_and_number_of_steps_is_a_line_measured_as_if_asked_for_alone(toy):
    model, weak = toy[0], toy_model(seed=1)
    found = score_run(*toy, n=100, walk={"sampler": "ddim", "low": 0.3, "high": 2.0, "weak": weak}, sweep="2,3", sweep_steps="3,4")
    whole = {"low": 0.0, "high": float("inf")}
    expected = {"CFG": whole, "CFG from 0.3 to 2": {"low": 0.3, "high": 2.0}, "autoguidance": whole | {"weak": weak}}
    assert list(found.lines) == [f"{name}, {count} steps" for name in expected for count in (3, 4)]
    for name, own in expected.items():
        alone = score_run(*toy, n=100, walk={"sampler": "ddim", "steps": 4, "guidance": 3.0, **own})
        assert found.lines[f"{name}, 4 steps"][1] == alone
    assert {row["way"] for row in found.json()["rows"]} == set(found.lines)
    drawn = model.sample(50, sampler="ddim", steps=4, guidance=3.0, weak=weak)
    assert not torch.allclose(drawn, model.sample(50, sampler="ddim", steps=4, guidance=3.0), atol=1e-2)


def test_autoguidance_sweeps_a_model_without_conditions(toy):
    free = toy_model(conditions=[])
    found = score_run(free, *toy[1:], n=100, walk={"sampler": "ddim", "steps": 3, "weak": toy[0]}, sweep="1,2")
    assert list(found.lines) == ["autoguidance"]


def test_what_cannot_be_swept_is_refused(toy):
    with pytest.raises(Usage, match="one at a time"):
        score_run(*toy, n=100, compare="ddim:2", sweep="1,2")
    free = models.build({"network": "mlp", "predict": "velocity", "noise": "flow"}, toy[1].shape)
    with pytest.raises(Usage, match="name its scales"):
        score_run(*toy, n=100, sweep_steps="1,2")
    with pytest.raises(Usage, match="no condition"):
        score_run(free, *toy[1:], n=100, sweep="1,2")


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
