"""Loss curves of one run or several, from their logs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..errors import Problem, Usage, nearest
from ..runs.log import Entry, Log, read
from .figure import COLOURS, INK, PLAIN, SOFT, dress, figure, plain, raster, thinned, thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURED = {"lr": ("Learning rate", "rate"), "images_per_second": ("Speed", "images/s")}  # the title, and what stands beside the axis
OVER = {"step": "steps", "images": "images seen", "seconds": "training time (s)"}
SPIKE = 10  # times the upper quartile: a loss above that is marked at the edge, and squashes nothing
SMOOTH = 25  # a smoothed point is the mean of about one part in this many of the curve
NAME = 0.058  # height of a name in an axes, as a share
EVENTS, MARKS = ("skipped", "rolled back"), 200  # what is worth a mark, and how many marks


def smoothed(y: Sequence[float]) -> list[float]:
    """A centred moving mean of about one SMOOTH-th of the curve, so that it does not lag; narrower at the start, where curves are steep."""
    total = np.concatenate([[0.0], np.cumsum(np.asarray(y, dtype=np.float64))])
    at = np.arange(len(y))
    reach = np.minimum(len(y) // SMOOTH // 2, at)
    end = np.minimum(at + reach + 1, len(y))
    return ((total[end] - total[at - reach]) / (end - (at - reach))).tolist()


def columns(entries: Sequence[Entry], x: str, y: str) -> tuple[list[float], list[float]]:
    """The finite pairs (x, y) of a log's lines."""
    kept = [entry for entry in entries if all(isinstance(entry.get(k), (int, float)) and np.isfinite(entry[k]) for k in (x, y))]
    return [entry[x] for entry in kept], [entry[y] for entry in kept]


def loss(axes: "Axes", logs: dict[str, Log], over: str = "step") -> None:
    """Training loss, raw faint and smoothed, and held-out loss as dots; one colour a run."""
    single = len(logs) == 1
    for i, (name, log) in enumerate(logs.items()):
        colour = COLOURS[i % len(COLOURS)]
        x, y = columns(log.training, over, "loss")
        if x:
            axes.plot(*thinned(x, y), color=colour, linewidth=0.7, alpha=0.3)
            axes.plot(*thinned(x, smoothed(np.minimum(y, SPIKE * np.quantile(y, 0.75))), 400), color=colour, linewidth=1.8, label="training" if single else name)
        hx, hy = columns(log.held_out, over, "held_out")
        if hx:
            ink, words = (COLOURS[1], "held out") if single else (colour, None)
            axes.plot(hx, hy, color=ink, linewidth=1.2, linestyle=(0, (1, 1.5)), marker="o", markersize=3.5, label=words)
        marks = sorted({event[over] for event in log.events if event["event"] in EVENTS and over in event})[:MARKS]
        for k, where in enumerate(marks):
            axes.axvline(where, color=COLOURS[5], linewidth=0.8, alpha=0.6, label="not finite" if single and k == 0 else None)
    drawn = [y for log in logs.values() for y in (columns(log.training, over, "loss")[1], columns(log.held_out, over, "held_out")[1])]
    values = [value for y in drawn for value in y if value > 0]
    if values:  # the axis is set by what the curves mostly do, not by one spike
        low, high = min(values), min(max(values), SPIKE * float(np.quantile(values, 0.75)))
        axes.set_ylim(low * 0.9, max(high, low * 1.2) * 1.1)
        _spike(axes, logs, over, max(values))
    dress(axes, "Loss" if single else "Loss (dots: held out)", OVER[over], "loss", log=True)
    thousands(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right", fontsize=9, **PLAIN)


def _spike(axes: "Axes", logs: dict[str, Log], over: str, most: float) -> None:
    """Says where the highest loss is, where it leaves the axes."""
    top = axes.get_ylim()[1]
    x = next((x for log in logs.values() for x, y in zip(*columns(log.training, over, "loss"), strict=True) if y == most), None)
    if most > top and x is not None:
        axes.annotate(f"▲ up to {plain(float(f'{most:.3g}'))}", (x, top), xytext=(-5, -2), textcoords="offset points", ha="left", va="top", fontsize=8.5, color=SOFT)


def held_out(axes: "Axes", log: Log, over: str = "step") -> None:
    """The held-out loss at each noise level t, light for little noise and dark for much."""
    levels = sorted({level for entry in log.held_out for level in _by_level(entry)}, key=float)
    ends: dict[str, tuple[float, float]] = {}
    values: list[float] = []
    for i, level in enumerate(levels):
        x, y = columns([entry | {"at": _by_level(entry).get(level)} for entry in log.held_out], over, "at")
        shade = 0.35 + 0.65 * i / max(1, len(levels) - 1)
        axes.plot(x, y, color=COLOURS[0], alpha=shade, linewidth=1.5, marker="o", markersize=2.5)
        values += [v for v in y if v > 0]
        if y and y[-1] > 0:
            ends[level] = (x[-1], y[-1])
    if values:
        axes.set_ylim(min(values) * 0.8, max(values) * 1.2)
    dress(axes, "Held-out loss by noise level", OVER[over], "loss", log=True)
    thousands(axes)
    axes.margins(x=0.12)
    if ends:
        _ends(axes, ends)


def _ends(axes: "Axes", ends: dict[str, tuple[float, float]]) -> None:
    """Names each line where it ends, pushed up where names would overlap."""
    low, high = np.log(axes.get_ylim())
    below = -1.0
    for level, (x, y) in sorted(ends.items(), key=lambda item: item[1][1]):
        height = (np.log(y) - low) / (high - low)
        below = max(height, below + NAME)
        where = {"xycoords": axes.get_xaxis_transform(), "xytext": (7, 0), "textcoords": "offset points"}
        axes.annotate(f"t {level}", (x, below), va="center", fontsize=8.5, color=INK, **where)


def _by_level(entry: Entry) -> dict[str, float]:
    found = entry.get("held_out_by_level")
    return found if isinstance(found, dict) else {}


def measured(axes: "Axes", logs: dict[str, Log], key: str, over: str = "step") -> None:
    """One of MEASURED, such as the learning rate `lr`, from 0; a line a run."""
    for i, (name, log) in enumerate(logs.items()):
        axes.plot(*thinned(*columns(log.training, over, key), 400), color=COLOURS[i % len(COLOURS)], linewidth=1.6, label=name)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: plain(value))
    dress(axes, MEASURED[key][0], OVER[over], MEASURED[key][1])
    thousands(axes)


def curves(*runs: str | Path, over: str = "step") -> Image.Image:
    """Loss, learning rate and speed of one run or several as a picture; one run also shows its held-out loss by level. over: what lies below, `step`, `images` (fair
    where batches differ) or `seconds`. Raises Problem where a run has no log."""
    if over not in OVER:
        raise Usage(f"no axis {over!r}{nearest(over, OVER)}")
    if not runs:
        raise Usage("name at least one run folder")
    paths = [Path(run) for run in runs]
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):  # whole paths where two share a name
        names = [f"{path} ({i + 1})" for i, path in enumerate(paths)]
    logs = {name: read(path) for name, path in zip(names, paths, strict=True)}
    for run, log in zip(runs, logs.values(), strict=True):
        if not log.training and not log.held_out:
            raise Problem(f"{run} has no losses logged in log.jsonl; name a run folder that has trained")
    only = next(iter(logs.values()))
    by_level = len(runs) == 1 and any(_by_level(entry) for entry in only.held_out)
    made, (first, *axes) = figure(3 + by_level, 2 if by_level else 3, width=4.8)
    loss(first, logs, over)
    if by_level:
        held_out(axes.pop(0), only, over)
    for key, panel in zip(MEASURED, axes, strict=True):
        measured(panel, logs, key, over)
    return raster(made)
