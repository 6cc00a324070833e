import pytest
import torch

from fromnoise.conditions import CONDITIONS, Example, Label, class_numbers
from fromnoise.draws import Draws
from fromnoise.errors import Usage
from tests.parts import Plain, label_of


@pytest.mark.parametrize("drop", [0.1, 0.5])
def test_the_share_that_is_dropped(drop):
    n, condition = 20_000, label_of(4, 7, drop)
    values = torch.arange(n) % 7
    vectors = condition.train_context(values, Draws.fixed(n)).vector
    null = (vectors == condition.embed.weight[7]).all(1)
    assert float(null.float().mean()) == pytest.approx(drop, abs=4 * (drop * (1 - drop) / n) ** 0.5)
    assert torch.equal(vectors[~null], condition.embed.weight[values[~null]])
    assert len(values[null].unique()) == 7  # whatever the class


def test_without_drop_every_label_stays_and_there_is_no_null():
    condition = label_of(4, 7, 0.0)
    values = torch.randint(7, (500,))
    assert torch.equal(condition.train_context(values, Draws.fixed(500)).vector, condition.embed.weight[values])
    assert condition.embed.weight.shape == (7, 4)
    with pytest.raises(Usage, match="cannot be guided"):
        condition.null(3)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_no_label_is_the_class_after_the_last(classes):
    condition = label_of(3, classes, 0.1)
    assert condition.embed.weight.shape == (classes + 1, 3)
    assert torch.equal(condition.null(2).vector, condition.embed.weight[[classes, classes]])


def test_dropping_is_a_function_of_the_draws():
    condition, values = label_of(4, 3, 0.5), torch.zeros(50, dtype=torch.long)
    draws = [condition.train_context(values, Draws.fixed(50, seed)).vector for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_one_label_or_one_per_sample():
    condition = label_of(4, 5)
    assert (
        condition.values(3, 4).tolist()
        == condition.values([3], 4).tolist()
        == condition.values(torch.tensor(3), 4).tolist()
        == [3, 3, 3, 3]
    )
    assert condition.values([0, 4, 2], 3).tolist() == [0, 4, 2]
    assert condition.default(7).tolist() == [0, 1, 2, 3, 4, 0, 1]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (5, "label 5 is out of range: this model knows 0 to 4"),
        (-1, "label -1"),
        ([0, 5, 1], "label 5"),
        ([0, -2, 1], "label -2"),
        (1000, "label 1000"),
        ([1, 2], "3 samples need one label or 3"),
        (0.5, "class number"),
        (True, "class number"),
        ([], "3 samples"),
        ([[1], [2], [3]], "3 samples"),
    ],
)
def test_labels_that_the_model_does_not_know(value, says):
    with pytest.raises(Usage, match=says):
        label_of(4, 5).values(value, 3)


@pytest.mark.parametrize("drop", [-0.1, 1.0, 2.0])
def test_drop_is_a_share(drop):
    for condition in CONDITIONS.values():
        with pytest.raises(Usage, match="0 <= drop < 1"):
            condition(drop=drop)


def test_classes_are_those_of_the_data_unless_there_are_more():
    def count(classes, names):
        condition = Label(classes)
        condition.init_layers(Plain(), Example((1, 4, 4), names))
        return condition.classes, len(condition.embed.weight)

    assert count(None, ("cat", "dog")) == (2, 3) and count(5, ("cat", "dog")) == (5, 6) and count(5, ()) == (5, 6)
    for classes, names, says in ((None, (), "the data has none"), (1, ("cat", "dog"), "classes is 1, but the data has 2")):
        with pytest.raises(Usage, match=says):
            Label(classes).plan(Plain, Example((1, 4, 4), names))


def test_words_of_the_command_line_are_names_or_numbers():
    condition = Label()
    condition.init_layers(Plain(), Example((1, 4, 4), ("Cat", "dog", "cat", "a 7")))
    assert condition.parse("dog") == 1 and condition.parse("3") == 3 and condition.parse("A 7") == 3
    assert condition.parse("Cat,cat, DOG,0") == [0, 2, 1, 0] and condition.parse("-1") == -1
    with pytest.raises(Usage, match="did you mean 'dog'"):
        condition.parse("dogg")


def test_numbers_are_names_where_classes_are_called_by_numbers():
    """--label 4 never means the fifth class where there are 1, 2, 3, 10 and 11."""
    names = ("1", "2", "3", "10", "11")
    assert class_numbers("1,10, 11", names) == [0, 3, 4]
    for word in ("4", "0", "-1", "1,4"):
        with pytest.raises(Usage, match=f"no class '{word.split(',')[-1]}'"):
            class_numbers(word, names)
    assert class_numbers("4", ()) == [4]  # classes that have no names have numbers


def test_names_with_commas_and_in_any_unicode_form():
    names = ("tench, Tinca tinca", "tench", "great white shark, white shark", "caf\u00e9")
    assert class_numbers("tench, Tinca tinca", names) == [0] and class_numbers("tench", names) == [1]
    assert class_numbers("tench,Great white shark, white shark,tench, Tinca tinca", names) == [1, 2, 0]
    assert class_numbers("cafe\u0301,0", names) == [3, 0]
    with pytest.raises(Usage, match="no class 'Tinca'"):
        class_numbers("tench, Tinca", names)
