import pytest
import torch
from torch import nn

from fromnoise.data import Tensors
from fromnoise.errors import Problem
from fromnoise.evaluation import FeatureNet, score, score_pictures
from fromnoise.evaluation.score import alike, proportional


class Pixels(FeatureNet):
    """Sees a picture as its four pixels; its class is the brightest one."""

    name, accuracy = "pixels", None

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(4))

    def forward(self, images):
        features = images.flatten(1) @ self.weight
        return features, features


@pytest.fixture(autouse=True)
def few_subsets(monkeypatch):
    monkeypatch.setattr(score, "SUBSETS", 5)


def corners(count, seed, labels=True, shares=(0.25, 0.25, 0.25, 0.25)):
    """2x2 pictures, one corner of which is bright."""
    draw = torch.Generator().manual_seed(seed)
    label = torch.multinomial(torch.tensor(shares), count, replacement=True, generator=draw)
    x = torch.randint(0, 100, (count, 4), generator=draw)
    x[torch.arange(count), label] += 120
    classes = ("a", "b", "c", "d") if labels else ()
    return Tensors("corners", x.reshape(count, 1, 2, 2).to(torch.uint8), label if labels else None, classes=classes)


TRAIN, TEST, NET = corners(3000, 0), corners(900, 1), Pixels()


def of(dataset):
    return dataset.get(torch.arange(len(dataset)))["x"], dataset.label


def test_the_test_images_themselves_are_perfect():
    card = score_pictures(*of(TEST), TRAIN, TEST, NET)
    assert card["Fréchet distance · pixels"].value == pytest.approx(0, abs=1e-9) and card["Fréchet"].floor > 1e-5
    assert card["precision"].value == card["recall"].value == card["class accuracy · pixels"].value == 1
    assert card.n == 900 and card.reference == 900 and "weights " + NET.digest in card.protocol
    assert [row.metric.partition(" · ")[2] for row in card.rows[:5]] == ["pixels"] * 5


def test_more_real_images_reach_the_floor():
    """The floor is what a perfect model reaches: other real images score like it."""
    card = score_pictures(*of(corners(900, 7)), TRAIN, TEST, NET)
    assert 0.3 < card["Fréchet"].ratio < 3
    assert abs(card["KID"].value - card["KID"].floor) < 0.02
    assert abs(card["recall"].value - card["recall"].floor) < 0.05


def test_class_accuracy_is_that_of_the_labels_asked_for():
    images, labels = of(corners(800, 3))
    wrong = labels.clone()
    wrong[labels == 2] = 3  # all of class 2 were asked to be 3
    card = score_pictures(images, wrong, TRAIN, TEST, NET)
    assert card["class accuracy · pixels"].value == pytest.approx((labels != 2).double().mean().item())
    assert card["class accuracy: a"].value == 1 and card["class accuracy: a"].floor == 1
    assert card["class accuracy: d"].value == pytest.approx(((labels == 3).sum() / ((labels == 2) | (labels == 3)).sum()).item())
    with pytest.raises(KeyError):
        card["class accuracy: c"]  # nobody asked for one


def test_samples_are_rounded_as_files_are():
    images, labels = of(corners(500, 3))
    exact, off = (score_pictures(x, labels, TRAIN, TEST, NET) for x in (images, images + 0.003))
    assert exact == off


def test_the_floor_has_the_samples_classes():
    """An unbalanced ask is compared with as unbalanced real data."""
    labels = torch.tensor([0] * 300 + [2] * 20)
    chosen = alike(TRAIN, labels, torch.Generator().manual_seed(0))
    assert torch.bincount(TRAIN.label[chosen], minlength=4).tolist() == [300, 0, 20, 0] and len(chosen.unique()) == 320
    images = TRAIN.get(alike(TRAIN, labels, torch.Generator().manual_seed(1)))["x"]
    card = score_pictures(images, torch.tensor([0] * 320), TRAIN, TEST, NET)
    assert card["Fréchet"].floor > 0.3  # one class alone is far from all four, real or not


def test_labels_or_not():
    bare_train, bare_test = corners(3000, 0, labels=False), corners(900, 1, labels=False)
    images, labels = of(corners(900, 3))
    for card in (score_pictures(images, None, bare_train, bare_test, NET), score_pictures(images, None, TRAIN, TEST, NET)):
        assert not any("accuracy" in row.metric for row in card.rows) and "class proportions" not in card.protocol
    assert score_pictures(images, None, TRAIN, TEST, NET) == score_pictures(images, None, TRAIN, TEST, NET)
    assert (
        score_pictures(images, None, TRAIN, TEST, NET, seed=1)["Fréchet"].floor
        != score_pictures(images, None, TRAIN, TEST, NET)["Fréchet"].floor
    )


def test_few_samples_are_said_to_be_few():
    images, labels = of(corners(3000, 3))
    assert any("cannot fill the 4 dimensions" in note for note in score_pictures(images[:4], labels[:4], TRAIN, TEST, NET).notes)
    assert any("500 samples are few" in note for note in score_pictures(images[:500], labels[:500], TRAIN, TEST, NET).notes)
    many = score_pictures(images, labels, TRAIN, corners(2500, 1), NET).notes
    assert not any("few" in note or "reference" in note for note in many)
    assert any("only 100 training images" in note for note in score_pictures(images, None, corners(100, 0), TEST, NET).notes)


def test_what_cannot_be_measured():
    images, labels = of(corners(50, 3))
    bad = images.clone()
    bad[3] = float("nan")
    cases = [(bad, labels, "1 of 50 samples hold NaN"), (images[:, :, :1], labels, "own data"), (images, labels[:9], "one for each"),
             (images[:2], labels[:2], "more than 3")]  # fmt: skip
    for samples, asked, words in cases:
        with pytest.raises(Problem, match=words):
            score_pictures(samples, asked, TRAIN, TEST, NET)


def test_labels_in_the_proportions_of_the_data():
    whole = Tensors("uneven", torch.zeros(100, 1, 2, 2), torch.tensor([0] * 90 + [2] * 10), classes=("a", "b", "c"))
    assert torch.bincount(proportional(whole, 40)).tolist() == [36, 0, 4]
    for n in (1, 7, 33, 250):  # as near as whole numbers come
        counts = torch.bincount(proportional(whole, n), minlength=3)
        assert counts.sum() == n and (counts - n * torch.tensor([0.9, 0, 0.1])).abs().max() < 1
    even = Tensors("even", torch.zeros(30, 1, 2, 2), torch.arange(30) % 3)
    assert proportional(even, 60).tolist() == [0, 1, 2] * 20  # every class in turn


def test_real_pictures_drawn_as_samples_are_reach_the_floor():
    """At 90:10 pictures of both classes alike are far from held-out ones; asked for in the reference's proportions they are as near as real ones."""
    shares = (0.9, 0.1, 0.0, 0.0)
    train, test = corners(3000, 0, shares=shares), corners(900, 1, shares=shares)

    def frechet(labels):
        images = train.get(alike(train, labels, torch.Generator().manual_seed(5)))["x"]
        return score_pictures(images, labels.sort().values, train, test, NET)["Fréchet"].value

    assert frechet(proportional(test, 300)) < 0.02 < 0.2 < frechet(torch.arange(300) % 2)


def test_few_held_out_pictures_are_said_to_be_few():
    images, labels = of(corners(50, 3))
    with pytest.raises(Problem, match="3 pictures are held out, .* add pictures, or train with a larger data.held_out"):
        score_pictures(images, labels, TRAIN, corners(3, 1), NET)
