"""How long samplers take for what quality."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import Usage
from .card import Card, Cells, Table, figure


def time_sampling(draw: Callable[[], object], repeats: int = 3) -> float:
    """The median wall-clock time of `draw()` in seconds, after one call that is not counted; waits for a GPU to finish."""

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    times = []
    for _ in range(repeats + 1):
        began = now()
        draw()
        times.append(now() - began)
    return statistics.median(times[1:])


@contextmanager
def count_calls(network: nn.Module) -> Iterator[list[int]]:
    """A list that receives, for every call of `network` inside, how many examples it was given: both halves of a guided pass count."""
    calls: list[int] = []
    hook = network.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    try:
        yield calls
    finally:
        hook.remove()


@dataclass(frozen=True)
class Timed:
    """One sampler: `nfe` evaluations of the network and `seconds` of wall-clock for each sample, and the card of its samples."""

    sampler: str
    steps: int
    nfe: float
    seconds: float
    card: Card


@dataclass(frozen=True)
class Comparison(Table):
    """Samplers of one model side by side: speed and distance, each also relative to the last one named."""

    rows: Sequence[Timed]

    def json(self) -> dict[str, Any]:
        return {"rows": [{**vars(row), "card": row.card.json()} for row in self.rows]}

    def cells(self) -> Cells:
        last = self.rows[-1]
        distance = next(row.metric for row in last.card.rows if row.better == "lower")
        versus, own = f"{last.sampler}:{last.steps}", last.card.overall
        headings = ("sampler", "function evaluations (NFE)", "s / sample", f"× as fast as {versus}", f"distance / {versus}'s", *(row.metric for row in own))
        rows = []
        for row in self.rows:
            times, ratio = last.seconds / row.seconds, row.card[distance].value / max(last.card[distance].value, 1e-12)
            figures = (figure(row.card[one.metric].value, row.card[one.metric].error) for one in own)
            rows.append((f"{row.sampler}:{row.steps}", f"{row.nfe:g}", f"{row.seconds:.3g}", f"{times:.1f}", f"{ratio:.3f}", *figures))
        rows.append(("real data", "", "", "", "", *(figure(row.floor, row.floor_error) for row in own)))
        return last.card.title, last.card.protocol, headings, rows


def parse_samplers(text: str, option: str = "--compare") -> list[tuple[str, int]]:
    """ "ddim:50,ddim:1000" as [("ddim", 50), ("ddim", 1000)]; raises Usage where it does not read so."""
    found = []
    for spec in text.split(","):
        name, _, steps = spec.strip().rpartition(":")
        if not name or not (steps.isascii() and steps.isdecimal()) or int(steps) < 1:
            raise Usage(f"{spec.strip()!r} is not SAMPLER:STEPS; write for example {option} ddim:50,ddim:1000")
        found.append((name, int(steps)))
    return found
