"""Accuracy against variety: what guidance buys, and what it costs."""

from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation.sweep import Sweep
from ..files import replacing
from .figure import COLOURS, INK, PLAIN, SOFT, dress, figure, focus

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTTED: Any = {"marker": "o", "markersize": 4, "linewidth": 1.5}


def tradeoff(sweep: Sweep, path: str | Path) -> Path:
    """Writes the picture of a guidance sweep: accuracy over recall, a point a scale, and every distance over the scale; a line for each way to
    guide; dashed, real data. A point that is far out is marked at the edge, so that it squashes nothing."""
    path = Path(path)
    metrics = {row.metric: row for row in sweep.last.overall}
    accuracy, recall = (next((name for name in metrics if name.startswith(words)), None) for words in ("class accuracy", "recall"))
    distances = [row for row in metrics.values() if row.better == "lower"]
    both = bool(accuracy and recall)
    made, panels = figure(len(distances) + both, columns=min(3, len(distances) + both))
    if accuracy and recall:
        _against(panels[0], sweep, accuracy, recall)
    for axes, row in zip(panels[both:], distances, strict=True):
        lines = sweep.values(row.metric)
        for (name, values), colour in zip(lines.items(), cycle(COLOURS)):
            axes.plot(sweep.scales, values, color=colour, label=name, **DOTTED)
        if row.floor is not None:
            axes.axhline(row.floor, color=SOFT, linestyle=(0, (4, 3)), linewidth=1)
        dress(axes, row.metric, "guidance scale", "distance")
        focus(axes, [(x, y, c) for ys, c in zip(lines.values(), cycle(COLOURS)) for x, y in zip(sweep.scales, ys, strict=True)], "y", row.floor)
    if len(sweep.lines) > 1:
        panels[0].legend(loc="best", fontsize=8.5, **PLAIN)
    with replacing(path) as temporary:
        made.savefig(temporary, dpi=150, format=path.suffix.lstrip(".") or "png")
    return path


def _against(axes: "Axes", sweep: Sweep, accuracy: str, recall: str) -> None:
    heights, points, few = sweep.values(accuracy), list[tuple[float, float, str]](), len(sweep.lines) < 3
    for (name, x), colour in zip(sweep.values(recall).items(), cycle(COLOURS)):
        axes.plot(x, heights[name], color=colour, label=name, **DOTTED)
        points += [(at, height, colour) for at, height in zip(x, heights[name], strict=True)]
        for scale, at, height in [*zip(sweep.scales, x, heights[name], strict=True)][0 if few else -1 :]:  # of many lines the end
            axes.annotate(f"{scale:g}", (at, height), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8.5, color=INK)
    real = sweep.last[recall].floor, sweep.last[accuracy].floor
    if None not in real:
        axes.plot(*([value] for value in real), color=SOFT, marker="*", markersize=9, linestyle="none")
        axes.annotate("real data", real, xytext=(9, 0), textcoords="offset points", va="center", fontsize=8.5, color=SOFT)
    dress(axes, "What guidance buys, and what it costs (numbers: its scale)", recall + " (share)", accuracy + " (share)")
    focus(axes, points, "xy", *(() if None in real else (real,)))
