"""The named sets at another side: padded with black, or resized with antialiasing as Pillow does."""

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.data import DATASETS, Tensors
from fromnoise.data.examples import examples
from fromnoise.data.sets.sized import Sized
from fromnoise.errors import Usage

FEW = torch.arange(5)


@pytest.mark.parametrize(("name", "side", "size", "before"), [("digits", 8, 9, 0), ("digits", 8, 28, 10), ("mnist_5k", 28, 32, 2)])
def test_a_larger_side_is_a_frame_of_black_in_both_splits(name, side, size, before):
    for split in ("train", "test"):
        own, larger = (examples({"name": name} | more, split) for more in ({}, {"size": size}))
        assert larger.shape == (1, size, size) and len(larger) == len(own) and larger.classes == own.classes
        x, expected = larger.get(FEW), torch.full((5, 1, size, size), -1.0)
        expected[:, :, before : before + side, before : before + side] = own.get(FEW)["x"]
        assert torch.equal(x["x"], expected) and torch.equal(x["label"], own.get(FEW)["label"])
        assert larger.to("cpu").take(FEW)["x"].dtype == own.take(FEW)["x"].dtype


@pytest.mark.parametrize(("size", "on_black"), [(7, True), (12, False), (32, False)])
def test_bytes_are_resized_as_pillow_does(size, on_black):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 3, 16, 16), np.uint8)
    found = Sized(Tensors("own", pictures), size, on_black).take(torch.arange(3))["x"]
    theirs = [np.asarray(Image.fromarray(p.transpose(1, 2, 0)).resize((size, size), Image.Resampling.BILINEAR)).transpose(2, 0, 1) for p in pictures]
    assert found.dtype == torch.uint8 and np.abs(found.numpy().astype(int) - np.stack(theirs)).max() <= 1


def test_floats_are_resized_to_the_mean_of_their_field():
    """An even picture stays even: antialiasing adds nothing."""
    assert torch.allclose(Sized(Tensors("even", torch.full((2, 1, 8, 8), 0.3)), 3).get(torch.arange(2))["x"], torch.tensor(0.3))


def test_the_own_side_is_the_set_itself_and_no_side_is_refused():
    assert isinstance(DATASETS["digits"](size=8), Tensors)
    with pytest.raises(Usage, match="size is a whole number from 1 to 1,024"):
        examples({"name": "digits", "size": 0}, "train")


def test_sets_of_different_sides_are_blended_once_one_is_sized():
    both = examples({"name": "between", "x": "mnist_5k", "source": {"name": "digits", "size": 28}}, "train")
    assert both.get(FEW)["source"].shape == (5, 1, 28, 28)
