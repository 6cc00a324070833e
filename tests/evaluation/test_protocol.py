"""What a protocol puts on a card."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fromnoise.config import call
from fromnoise.data import DATASETS, Tensors
from fromnoise.errors import Problem, Usage
from fromnoise.evaluation import EvaluateSettings, FeatureNet, Protocol, evaluate
from fromnoise.evaluation.protocol import measuring
from fromnoise.model import Sampling
from tests.parts import blobs, built


class Means(FeatureNet):
    """Sees a picture as the means of its channels."""

    name, accuracy = "means", None

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images):
        return images.mean((2, 3)) * self.weight, None


def test_settings_of_a_recipe_are_a_protocol():
    assert Protocol(**vars(call(EvaluateSettings, {"n": 500}, "evaluate"))) == Protocol(500)
    for wrong in ({"number": 5}, {"n": "many"}, {"features": 3}):
        with pytest.raises(Usage, match="evaluate"):
            call(EvaluateSettings, wrong, "evaluate")


def test_captions_are_judged_and_their_fit_measured_beside_real_ones():
    """Samples that are the held-out pictures obey all of their captions; in another order they obey few."""
    train, test = (DATASETS["shapes_text"](count=60, split=split) for split in ("train", "test"))
    model = SimpleNamespace(conditions={"text": None}, device="cpu")

    def clip(images, captions):  # 100 for a picture's own caption
        own = list(zip(test.get(torch.arange(60))["x"], test.text, strict=True))
        right = [any(text == mine and torch.equal(image, x) for x, mine in own) for image, text in zip(images, captions, strict=True)]
        return 100 * torch.tensor(right).float()

    clip.name = "stub"
    measure = measuring(model, train, test, Protocol(40, lambda *data: Means(), clip=clip))
    rows = torch.arange(40)
    right, wrong = (measure(test.get(rows)["x"], {"text": test.text[first : first + 40]}) for first in (0, 1))
    assert (right["CLIP score"].value, right["CLIP score"].floor) == (100, 100) and wrong["CLIP score"].value < 10
    assert (right["captions obeyed"].value, right["captions obeyed"].floor) == (1, 1) and wrong["captions obeyed"].value < 0.1
    assert any("looked at" in note for note in wrong.notes) and right["Fréchet"].value == wrong["Fréchet"].value


def test_clip_without_captions_is_refused():
    data = blobs()
    model = built({"network": {"name": "unet", "width": 8, "levels": [1]}, "conditions": ["label"]}, data.shape, data.classes)
    with pytest.raises(Usage, match="leave --clip-model out"):
        evaluate(model, data, data, Protocol(10, clip=lambda *ignored: None), Sampling())


def test_samples_are_asked_for_in_the_proportions_of_the_reference():
    """A sampler that draws nothing but its label shows which labels it was given."""
    train = blobs()
    test = Tensors("uneven", train.x[:40], torch.tensor([0] * 36 + [1] * 4), classes=train.classes)
    model = built({"network": {"name": "unet", "width": 8, "levels": [1]}, "conditions": ["label"]}, train.shape, train.classes)
    asked = []

    def sample(n, sampling, *, progress=None, **conditions):
        asked.append(conditions["label"])
        return torch.zeros(n, *train.shape)

    model.sample = sample
    evaluate(model, train, test, Protocol(20, lambda *data: Means()), Sampling(steps=1))
    assert torch.bincount(asked[0]).tolist() == [18, 2]


def test_what_is_too_few_is_said_before_a_network_is_trained():
    data = blobs()
    few = Tensors("few", data.x[:3], data.label[:3], classes=data.classes)
    model = built({"network": {"name": "unet", "width": 8, "levels": [1]}, "conditions": ["label"]}, data.shape, data.classes)

    def trained(*data):
        raise AssertionError("a network was trained")

    for test, n, words in ((few, 10, "3 pictures are held out"), (data, 3, "3 samples are too few")):
        with pytest.raises(Problem, match=words):
            evaluate(model, data, test, Protocol(n, trained), Sampling())
