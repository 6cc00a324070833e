"""Samples with their words: classes over columns where they come in turn, else under each tile."""

import numpy as np
import pytest
import torch

from fromnoise.figures import samples, write_samples
from fromnoise.figures import strip as strips
from fromnoise.figures.media import grid

IMAGES = torch.linspace(-1, 1, 12)[:, None, None, None].expand(12, 1, 8, 8)


@pytest.fixture
def laid(monkeypatch):
    """What is handed to be laid out: (rows, columns, captions)."""
    import fromnoise.figures.samples  # noqa: F401

    seen = []

    def spy(rows, names=(), columns=(), captions=()):
        seen.append((rows, list(columns), [list(line) for line in captions]))
        return strips(rows, names, columns, captions)

    monkeypatch.setitem(samples.__globals__, "strip", spy)
    return seen


def grey(tile) -> int:
    return int(np.asarray(tile).flat[0])


def test_classes_in_turn_have_a_column_each(laid):
    samples(IMAGES, {"label": torch.arange(12) % 3}, ("cat", "dog", "owl"))
    ((rows, columns, captions),) = laid
    assert columns == ["cat", "dog", "owl"] and not captions
    assert [[grey(tile) for tile in row] for row in rows] == [[round(255 * (3 * i + j) / 11) for j in range(3)] for i in range(4)]


def test_classes_in_another_order_stand_under_their_tiles(laid):
    samples(IMAGES, {"label": torch.tensor([0, 0, 1] * 4)}, ("cat", "dog", "owl"), columns=5)
    ((rows, columns, captions),) = laid
    assert not columns and [len(row) for row in rows] == [5, 5, 2]
    assert sum(captions, []) == ["cat", "cat", "dog"] * 4


def test_captions_stand_under_their_tiles_in_lines_that_fit(laid):
    said = [f"a small grey square number {i} on a ground that is white as well" for i in range(12)]
    picture = samples(IMAGES, {"text": said, "label": torch.arange(12) % 3}, ("cat", "dog", "owl"))
    ((_, columns, captions),) = laid
    assert not columns
    for words, caption in zip(said, sum(captions, []), strict=True):
        lines = caption.split("\n")
        assert 1 < len(lines) <= 3 and max(map(len, lines)) <= 14
        assert words.startswith(caption.removesuffix("…").replace("\n", " ").strip())
    assert picture.height > samples(IMAGES, {"text": ["a"] * 12}).height


@pytest.mark.parametrize("asked", [{}, {"label": None}, {"label": torch.full((12,), 2)}])
def test_where_all_were_asked_the_same_it_is_a_plain_grid(asked):
    assert samples(IMAGES, asked, ("cat", "dog", "owl")) == grid(IMAGES)


def test_archives_and_folders_hold_the_samples_alone(tmp_path):
    asked = {"label": torch.arange(12) % 3}
    write_samples(IMAGES, tmp_path / "x.npz", asked, ("cat", "dog", "owl"))
    content = np.load(tmp_path / "x.npz")
    assert content["arr_0"].shape == (12, 8, 8, 1) and content["arr_1"].tolist() == [0, 1, 2] * 4
    write_samples(IMAGES, tmp_path / "all", asked, ("cat", "dog", "owl"))
    assert len(list((tmp_path / "all").iterdir())) == 12


def test_classes_that_do_not_fill_their_rows_stand_under_tiles_that_do(laid):
    samples(IMAGES[:8], {"label": torch.arange(8) % 3}, ("cat", "dog", "owl"))
    ((rows, columns, captions),) = laid
    assert not columns and [len(row) for row in rows] == [4, 4] and sum(captions, [])[:4] == ["cat", "dog", "owl", "cat"]
