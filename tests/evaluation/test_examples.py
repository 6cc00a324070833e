import pytest
import torch

from fromnoise.data import Tensors
from fromnoise.evaluation import example_conditions
from fromnoise.evaluation.examples import spread
from tests.parts import built

LINE = Tensors("line", torch.arange(10.0).reshape(10, 1).expand(10, 2), torch.arange(10) % 2)


@pytest.mark.parametrize("n", [1, 3, 7, 10])
def test_examples_are_all_different_and_as_evenly_spread_as_can_be(n):
    found = spread(n, 10)
    assert len(found.unique()) == n and found[0] == 0
    gaps = torch.diff(torch.cat([found, torch.tensor([10])]))
    assert gaps.max() - gaps.min() <= 1


def test_a_set_with_too_few_is_gone_through_again():
    assert spread(7, 3).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_labels_alone_are_varied_by_the_model_itself():
    model = built({"network": "mlp", "conditions": ["label"]}, (2,), LINE.classes)
    assert example_conditions(model, LINE, 4) == {}
    model.conditions["label"].from_data = True
    assert example_conditions(model, LINE, 5)["label"].tolist() == LINE.label[::2].tolist()
