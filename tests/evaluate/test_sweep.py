import json

import pytest
import torch
from PIL import Image
from rich.console import Console

from fromnoise import model as models
from fromnoise.data import DATASETS
from fromnoise.errors import Usage
from fromnoise.evaluate import Card, Row, Sweep, score_run
from fromnoise.evaluate.sweep import scales
from fromnoise.show import tradeoff
from tests.show.pixels import pixels


@pytest.fixture(scope="module")
def toy():
    train, test = (DATASETS["moons"](count=500, split=split) for split in ("train", "test"))
    torch.manual_seed(0)
    config = {"network": "mlp", "predict": "velocity", "noise": "flow", "conditions": ["label"]}
    model = models.build(config, train.shape, train.classes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model, train, test


def test_scales_are_numbers_with_commas_and_rise():
    assert scales("3, 1,1.5,1") == [1.0, 1.5, 3.0]
    for wrong in ("", "1", "1,1", "1,x", "1,nan", "1,inf", "1;2"):
        with pytest.raises(Usage, match="such as 1,1.5,2,4"):
            scales(wrong)


def test_every_scale_is_measured_as_if_asked_for_alone(toy):
    found = score_run(*toy, n=100, walk={"sampler": "ddim", "steps": 4}, sweep="0,3")
    assert isinstance(found, Sweep) and found.scales == [0.0, 3.0]
    for scale, card in zip(found.scales, found.cards, strict=True):
        assert card == score_run(*toy, n=100, walk={"sampler": "ddim", "steps": 4, "guidance": scale})
    assert found.cards[0] != found.cards[1]
    assert [row["guidance"] for row in json.loads(json.dumps(found.json()))["rows"]] == [0, 3]


def test_what_cannot_be_swept_is_refused(toy):
    with pytest.raises(Usage, match="one at a time"):
        score_run(*toy, n=100, compare="ddim:2", sweep="1,2")
    free = models.build({"network": "mlp", "predict": "velocity", "noise": "flow"}, toy[1].shape)
    with pytest.raises(Usage, match="no condition"):
        score_run(free, *toy[1:], n=100, sweep="1,2")


def made(scales=(1.0, 2.0), floor=0.9):
    rows = lambda g: [Row("Fréchet distance · CNN", 1 / g, 0.2), Row("recall · CNN", 0.8 / g, floor, better="higher"), Row("class accuracy · CNN", 0.5 * g, floor, better="higher"), Row("class accuracy: 3", 0.1)]  # noqa: E731, E501  # fmt: skip
    return Sweep(scales, [Card("t", "CNN", 9, 9, "p", rows(g)) for g in scales])


def test_the_table_has_a_row_a_scale_and_leaves_single_classes_out():
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(made().table())
    text = console.export_text()
    assert "class accuracy: 3" not in text
    assert any(all(word in line for word in ("2 ", "0.5", "0.4", "1")) for line in text.splitlines())
    assert any("real data" in line and "0.9" in line for line in text.splitlines())


@pytest.mark.parametrize("floor", [0.9, None])
def test_the_curve_is_drawn(tmp_path, floor):
    path = tradeoff(made(floor=floor), tmp_path / "guidance.png")
    blue = (abs(pixels(Image.open(path)).astype(int) - (31, 98, 168)).sum(-1) < 30).mean()
    assert 0.0005 < blue < 0.05, "the lines are there"
    assert not [file for file in tmp_path.iterdir() if file != path]
