import zlib

import pytest
import torch

from fromnoise.conditions.text import Words, encoder_of
from fromnoise.conditions.text.encoder import BUCKETS, buckets, split


@pytest.fixture(scope="module")
def words():
    torch.manual_seed(0)
    return Words(64, length=10).eval()


@pytest.mark.parametrize(
    ("text", "parts"),
    [("A red  circle.", ["a", "red", "circle", "."]), ("", []), ("Ünïcode ﬁsh, 猫!", ["ünïcode", "fish", ",", "猫", "!"]), (" \n\t", [])],
)
def test_words_of_a_text(text, parts):
    assert split(text) == parts


def test_a_word_is_made_of_its_bytes_n_grams():
    by_hand = [b"<cat>", b"<ca", b"cat", b"at>", b"<cat", b"cat>"]
    assert buckets("cat") == tuple(sorted({zlib.crc32(part) % BUCKETS for part in by_hand}))
    assert set(buckets("cats")) & set(buckets("cat"))  # what is written alike shares parts
    assert len(buckets("é")) >= 1


def test_a_text_does_not_depend_on_its_company(words):
    texts = ["a red circle", "", "a large blue square left of a cross", "cat"]
    with torch.no_grad():
        tokens, mask = words(texts)
        assert tokens.shape == (4, 10, 64) and mask.sum(1).tolist() == [4, 1, 9, 2]
        for i, text in enumerate(texts):
            alone, counted = words([text])
            n = int(counted.sum())
            assert torch.allclose(alone[0, :n], tokens[i, :n], atol=1e-5)


def test_order_and_words_are_heard(words):
    with torch.no_grad():
        a, b, c = (words([text])[0] for text in ("red left of blue", "blue left of red", "red left of blua"))
    assert not torch.allclose(a, b, atol=0.1) and not torch.allclose(a, c, atol=0.1)


def test_a_long_text_is_cut_and_that_is_said_once(capsys):
    short = Words(64, length=4)
    with torch.no_grad():
        long, same = short(["one two three four five"])[0], short(["one two three"])[0]
        short(["one two three four five"])
    assert torch.equal(long, same) and long.shape[1] == 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "is 6 tokens long; the encoder takes 4" in said


def test_every_weight_learns():
    words = encoder_of("words", 12, 64)
    words(["a red circle", "two words"])[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in words.parameters())


def test_without_any_word_the_table_has_a_gradient_of_zero():
    """So that processes that share a batch, of which one may have no caption left, wait for the same gradients."""
    words = Words(8)
    words(["", ""])[0].square().sum().backward()
    assert all(p.grad is not None for p in words.parameters()) and not words.table.weight.grad.any()
