"""The card of lines of text."""

import torch
from torch import Tensor

from ..data import Dataset
from ..data.files.lines import decoded
from .card import Card, Row
from .metrics.text import copied, distinct, entropy, length, real_words, shared_words, words
from .score import check_shape

TEXT = (
    "Reference: {m:,} held-out lines. A word is real where it is in a training line or a held-out one, of held-out lines in another one. distinct-n: different "
    "runs of n words over all of them; like different lines, of {few:,} lines each. Copied: the line is one of {r:,} training lines. Entropy: bits a letter, "
    "of frequencies alone."
)


def score_text(samples: Tensor, train: Dataset, test: Dataset, seed: int = 0) -> Card:
    """The card of sampled lines (N, 1, L): real words, variety, copies of training lines, letters; beside the same of held-out lines."""
    check_shape(samples, test)
    found, real, learnt = decoded(samples), _lines(test), _lines(train)
    vocabulary, known = {word for line in learnt for word in words(line)}, {*learnt}
    few = min(len(found), len(real))
    rows = [
        Row("real words", real_words(found, vocabulary | {word for line in real for word in words(line)}), shared_words(real, vocabulary), better="higher"),
        *(Row(f"distinct-{n}", distinct(found[:few], n), distinct(real[:few], n), better="near") for n in (1, 2)),
        Row("different lines", len({*found[:few]}) / few, len({*real[:few]}) / few, better="higher"),
        Row("lines copied from training", copied(found, known), copied(real, known)),
        Row("entropy of letters", entropy(found), entropy(real), better="near"),
        Row("letters of a line", length(found), length(real), better="near"),
    ]
    empty = sum(not line.strip() for line in found)
    notes = [f"{empty:,} of {len(found):,} samples are empty lines"] if empty else []
    protocol = TEXT.format(m=len(real), few=few, r=len(learnt))
    return Card(f"{test.name}, {len(found):,} samples", "words", len(found), len(real), protocol, rows, notes)


def _lines(data: Dataset) -> list[str]:
    return [line for part in torch.arange(len(data)).split(4096) for line in decoded(data.get(part)["x"])]
