"""Figures of lines of text, known by counting; and the card that holds them."""

import math

import pytest
import torch

from fromnoise.data import Tensors
from fromnoise.data.files.lines import encoded
from fromnoise.evaluation import Protocol, card_of, evaluate, score_text
from fromnoise.evaluation.metrics.text import copied, distinct, entropy, length, real_words, shared_words, words
from fromnoise.evaluation.signals import score_signals
from tests.parts import built, stand_in


def text(lines):
    made = Tensors("lines", encoded(lines, 32))
    made.medium = "text"
    return made


def test_words_are_letters_and_digits_in_any_language():
    assert words("It's a medium-dark CAT, №5; Ödön’s!") == ["it's", "a", "medium", "dark", "cat", "5", "ödön’s"]
    assert words("…: \ufffd") == []


def test_shares_of_words():
    assert real_words(["a red fox", "a grun fox"], {"a", "red", "fox"}) == pytest.approx(5 / 6)
    assert real_words(["", "!"], {"a"}) == 0
    assert shared_words(["a red fox", "a blue fox", "a fox fox"], {"red"}) == pytest.approx(8 / 9)  # blue stands in one alone
    assert shared_words(["fox fox"], set()) == 0


def test_distinct_is_of_runs_of_words():
    """a b, b a, a b; c: the unigrams a b a b a b c (7, 3 of them different), the bigrams ab ba ab | none."""
    lines = ["a b a b", "a b c"]
    assert distinct(lines, 1) == pytest.approx(3 / 7)
    assert distinct(lines, 2) == pytest.approx(3 / 5)  # ab ba ab | ab bc
    assert distinct(["a"], 2) == 0


def test_letters():
    assert entropy(["ab", "cd"]) == pytest.approx(2) and entropy(["aaaa"]) == 0 and entropy([]) == 0
    assert entropy(["aaab"]) == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))
    assert length(["ab", "é"]) == 1.5 and copied(["a", "b", "b"], {"b"}) == pytest.approx(2 / 3)


def test_the_card_puts_each_figure_beside_that_of_held_out_lines():
    train, test = text(["a red fox", "a blue fox", "the cat"]), text(["a red cat", "the dog", "a dog"])
    samples = text(["a red fox", "a dog", "qzx fox", "a dog"]).get(torch.arange(4))["x"]
    card = score_text(samples, train, test)
    found = {row.metric: (row.value, row.floor) for row in card.rows}
    assert found["real words"] == (pytest.approx(8 / 9), 1.0)
    assert found["distinct-1"] == (pytest.approx(5 / 7), pytest.approx(5 / 7))  # of the first three samples, as there are three held-out lines
    assert found["different lines"] == (1.0, 1.0)
    assert found["lines copied from training"] == (0.25, 0.0)
    assert found["letters of a line"][1] == pytest.approx((9 + 7 + 5) / 3)
    assert card.n == 4 and card.reference == 3 and all(row.ratio is None for row in card.rows) and not card.notes
    empty = score_text(-torch.ones(2, 1, 32), train, test)
    assert empty["real words"].value == 0 and empty.notes == ["2 of 2 samples are empty lines"]
    assert "≈" in "".join(row[0] for row in card.cells()[3])


def test_evaluate_finds_the_card_by_what_the_data_says_it_is():
    assert card_of((1, 12), "text") is score_text and card_of((2,), None) and card_of((1, 12), None) is score_signals and card_of((3, 8, 8), None) is None
    data = stand_in("lines")
    network, sample = {"name": "conv", "width": 8, "kernel": 3}, {"name": "ddim", "steps": 2}
    model = built({"network": network, "sample": sample, "autoencoder": "bits", "medium": "text"}, data.shape)
    card = evaluate(model, data, stand_in("lines", "test"), Protocol(n=5), model.sampling)
    assert card.features == "words" and card.n == 5 and card["lines copied"].value == 0
    with pytest.raises(KeyError, match="no 'Fréchet'"):
        card["Fréchet"]
