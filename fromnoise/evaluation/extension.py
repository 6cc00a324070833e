"""How clips go on from known frames: window after window beside real clips, and against the true motion where that is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data import Dataset
from ..errors import Usage
from .card import Card, Cells, Row, Table
from .clips import PREDICTION
from .prediction import predicted
from .protocol import Protocol, measuring

PROTOCOL = (
    "{n:,} clips that go on from the first {given} frames of held-out examples{labels}. Each window of {length} frames is measured like samples of that length, "
    "beside real clips: figures that grow worse from window to window are drift. "
)


@dataclass(frozen=True)
class Extension(Table):
    """The cards of clips' windows of the model's own length, in turn, and how near their last frames are to the true ones.

    ends  the last frame of each window, counted from 1;  predictions  by the last frame of the clip, where the true motion is known
    """

    title: str
    n: int
    given: int
    ends: Sequence[int]
    cards: Sequence[Card]
    predictions: Mapping[int, Sequence[Row]]

    def json(self) -> dict[str, Any]:
        cards = [{"last_frame": end, "card": card.json()} for end, card in zip(self.ends, self.cards, strict=True)]
        predictions = {str(end): [vars(row) for row in rows] for end, rows in self.predictions.items()}
        return {"title": self.title, "n": self.n, "given": self.given, "windows": cards, "predictions": predictions}

    def cells(self) -> Cells:
        length, last = self.ends[0], self.cards[-1]
        rows: list[Sequence[str] | None] = []
        for metric in dict.fromkeys(row.metric for found in self.predictions.values() for row in found):
            mine = {end: next(row for row in found if row.metric == metric) for end, found in self.predictions.items()}
            floor = next(iter(mine.values())).floor
            rows.append((metric, *(_short(mine[end].value) if end in mine else "" for end in self.ends), _short(floor)))
        if rows:
            rows.append(None)
        for row in last.overall:
            name = row.metric.rsplit(" (", 1)[0]  # how good a network is the protocol says
            rows.append((name, *(_short(card[row.metric].value) for card in self.cards), _short(row.floor)))
        headings = ("frames", *(f"{end - length + 1}-{end}" for end in self.ends), "real")
        return self.title, last.protocol, headings, rows


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def score_extension(model: Any, train: Dataset, test: Dataset, clips: Tensor, given: int, protocol: Protocol, conditions: Mapping[str, Any]) -> Extension:
    """The figures of clips (N, C, F, *S), F not below the model's own length T, which go on from the first `given` frames of the held-out examples that `spread`
    names, and of their conditions.

    Windows of T frames are read one after another, and the last T frames in any case.
    """
    length, frames = model.shape[1], clips.shape[2]
    if len(model.shape) != 4 or frames < length:
        raise Usage(f"how clips go on is measured in windows of the model's own length: take {length} frames or more, not {frames}")
    measure = measuring(model, train, test, protocol)
    ends = [*range(length, frames, length), frames]
    alone = {key: value for key, value in conditions.items() if key == "label"}  # frames that a condition names are those of the first window
    cards = [measure(clips[:, :, end - length : end], alone) for end in ends]
    known = torch.full((len(clips),), given)
    predictions = {end: rows for end in dict.fromkeys((length, frames)) if (rows := predicted(clips[:, :, :end], known, test))}
    said = PROTOCOL.format(n=len(clips), given=given, labels=" with their labels" if "label" in alone else "", length=length)
    protocol_of = said + (f"{PREDICTION} " if predictions else "") + cards[-1].protocol
    cards[-1] = Card(**{**vars(cards[-1]), "protocol": protocol_of})
    return Extension(f"{test.name}, {len(clips):,} clips of {frames} frames", len(clips), given, ends, cards, predictions)
