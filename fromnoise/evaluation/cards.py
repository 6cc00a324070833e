"""Kinds of examples that are measured through no network, and the card of each."""

from collections.abc import Callable, Sequence

from torch import Tensor

from ..data import Dataset
from ..data.dataset import usual_medium
from .card import Card
from .scans import score_scans
from .score import score_points
from .shapes import score_shapes
from .signals import score_signals
from .text import score_text

Score = Callable[[Tensor, Dataset, Dataset, int], Card]  # (samples, training examples, held-out ones, seed)
CARDS: dict[str, Score] = {
    "points": score_points, "text": score_text, "volumes": score_shapes, "clouds": score_shapes, "signals": score_signals, "scans": score_scans,
}  # fmt: skip


def card_of(shape: Sequence[int], medium: str | None) -> Score | None:
    """The card of examples of this shape and medium, a name of figures.MEDIA; None where they are seen through a network."""
    return CARDS.get(medium or usual_medium(shape))
