"""Two sets, one to come from and one to go to: which goes with which, and how a recipe names them."""

import pytest
import torch

from fromnoise.data import DATASETS, Plan, Tensors, feed
from fromnoise.data.dataset import Between
from fromnoise.data.examples import examples, with_root
from fromnoise.errors import Usage


def numbers(n: int, first: int = 0) -> Tensors:
    return Tensors(f"{n} numbers", (first + torch.arange(n, dtype=torch.float32))[:, None], torch.arange(n) % 2)


def test_every_source_is_taken_once_before_any_is_taken_again():
    data = Between(numbers(10), numbers(4, 100))
    batch = data.get(torch.arange(10))
    assert torch.equal(batch["x"][:, 0], torch.arange(10.0)) and torch.equal(batch["label"], torch.arange(10) % 2)
    source = batch["source"][:, 0].tolist()
    assert sorted(source[:4]) == sorted(source[4:8]) == [100, 101, 102, 103]
    assert source[8:] == source[:2]


def test_which_goes_with_which_is_chance_decided_by_the_seed():
    sources = [Between(numbers(500), numbers(500), seed).get(torch.arange(500))["source"][:, 0] for seed in (0, 0, 1)]
    assert torch.equal(sources[0], sources[1]) and not torch.equal(sources[0], sources[2])
    assert abs(float(torch.corrcoef(torch.stack([torch.arange(500.0), sources[0]]))[0, 1])) < 4 / 500**0.5


def test_a_recipe_names_both():
    data = examples({"name": "between", "x": {"name": "moons", "count": 50}, "source": "checkerboard", "flip": False}, "test")
    moons, board = DATASETS["moons"](count=50, split="test"), DATASETS["checkerboard"](split="test")
    batch = data.get(torch.arange(50))
    assert torch.equal(batch["x"], moons.x) and data.keys == ("label", "source") and data.classes == ("upper", "lower")
    assert set(map(tuple, batch["source"].tolist())) <= set(map(tuple, board.x.tolist()))


def test_pictures_become_floats_and_are_mirrored_with_theirs():
    x = torch.arange(6, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, 2, 3)
    x[..., 0] = 200
    data = Between(Tensors("x", x), Tensors("source", 255 - x))
    for batch in [next(feed(data, Plan(6, 6), start=step, flip=True)) for step in range(4)]:
        turned = batch["x"][:, 0, 0, 0] != 200 / 127.5 - 1
        assert torch.equal(batch["source"][:, 0, 0, 0] != 55 / 127.5 - 1, turned)
        assert batch["source"].dtype == torch.float32 and batch["source"].abs().max() <= 1


def test_examples_of_other_shapes_do_not_go_together():
    with pytest.raises(Usage, match=r"x \(moons\) has examples of shape \(2,\), source \(digits\) of \(1, 8, 8\)"):
        examples({"name": "between", "x": "moons", "source": "digits"}, "train")


@pytest.mark.parametrize(
    ("node", "there"),
    [
        ("mnist", {"name": "mnist", "root": "R"}),
        (None, {"name": "mnist", "root": "R"}),
        ({"name": "folder", "path": "p", "size": 8}, {"name": "folder", "path": "R", "size": 8}),
        (
            {"name": "between", "x": "fashion_mnist", "source": {"name": "mnist", "root": "S"}},
            {"name": "between", "x": {"name": "fashion_mnist", "root": "R"}, "source": {"name": "mnist", "root": "R"}},
        ),
    ],
)
def test_all_sets_are_found_below_another_root(node, there):
    assert with_root(node, "R") == there and with_root(node, None) == node
