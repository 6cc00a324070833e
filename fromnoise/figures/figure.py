"""Plots in one plain style, through Matplotlib's objects only: no global state is touched."""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, LINE = "#24292f", "#6e7781", "#d8dee4"
PLAIN: Any = {"frameon": False, "labelcolor": INK, "handlelength": 1.6}  # of a legend
COLOURS = ("#1f62a8", "#d1661f", "#16855b", "#8e44a3", "#b8860b", "#c2334d", "#3f8fa8", "#5b6770")
# what page and plot share: the first is found in the SVG, the second is put in its place, so that a plot follows the page's light or dark
FOLLOWS = {INK: "currentColor", SOFT: "var(--soft)", LINE: "var(--line)"} | {c: f"var(--c{i})" for i, c in enumerate(COLOURS)}


def figure(panels: int = 1, columns: int = 1, width: float = 5.2, height: float = 3.1) -> "tuple[Figure, list[Axes]]":
    """A figure of panels, each `width` x `height` inches, in rows of `columns`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = -(-panels // columns)
    made = Figure(figsize=(width * columns, height * rows), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    FigureCanvasAgg(made)
    return made, [made.add_subplot(rows, columns, i + 1) for i in range(panels)]


def dress(axes: "Axes", title: str, x: str, y: str = "", log: bool = False) -> None:
    """The house style: a title at the left, faint horizontal lines, no box; a logarithmic axis has plain numbers."""
    axes.set_title(title, loc="left", fontsize=11, color=INK, pad=10)
    axes.set_xlabel(x, fontsize=9.5, color=SOFT)
    axes.set_ylabel(y, fontsize=9.5, color=SOFT)
    axes.tick_params(colors=SOFT, labelsize=9, length=0, which="both")
    axes.grid(True, axis="y", color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    if log and np.isfinite(axes.dataLim.minposy):  # else there is nothing positive to show, as when every loss was NaN
        _plain_log(axes)


def _plain_log(axes: "Axes") -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    low, high = axes.get_ylim()
    axes.set_yscale("log")
    if low > 0:
        axes.set_ylim(low, high)
    low, high = axes.get_ylim()
    subs = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9) if high / low < 3 else (1, 2, 5) if high / low < 300 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axes.yaxis.set_major_formatter(lambda value, _: plain(value))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """The least and the largest of the values that are not far out, which is three times their middle half away from it (Tukey)."""
    lower, upper = (float(at) for at in np.quantile(values, (0.25, 0.75)))
    near = [v for v in values if lower - 3 * (upper - lower) <= v <= upper + 3 * (upper - lower)] or [lower, upper]
    return min(near), max(near)


MARKS = {"^": ((0, -8), "center", "top"), "v": ((0, 8), "center", "bottom"), ">": ((-7, 0), "right", "center"), "<": ((7, 0), "left", "center")}


def focus(axes: "Axes", points: Sequence[tuple[float, float, str]], ways: str, *beside: Any) -> None:
    """Sets the axes `ways` (x, y or both) to the points (x, y, colour) that are not far out, and what is `beside` them; the others are marked, with
    their values, where they leave the axes."""
    for way in ways:
        others = [value for value in (b["xy".index(way)] if isinstance(b, tuple) else b for b in beside) if value is not None]
        low, high = bounds([point["xy".index(way)] for point in points])
        low, high = min(low, *others, high), max(high, *others, low)
        room = 0.12 * (high - low or 1.0)
        getattr(axes, f"set_{way}lim")(0 if way == ways and low >= 0 else low - room, high + room)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    beyond: dict[tuple[float, float], int] = {}  # marks where there is one already
    for x, y, colour in points:
        if shape := "^" if y > high else "v" if y < low else ">" if x > right else "<" if x < left else "":
            at, (offset, across, up) = (min(max(x, left), right), min(max(y, low), high)), MARKS[shape]
            beyond[at] = beyond.get(at, -1) + 1
            offset = offset[0], offset[1] + 12 * beyond[at] * (1 if up == "bottom" else -1)
            axes.plot(*([value] for value in at), color=colour, marker=shape, markersize=7, linestyle="none", clip_on=False, zorder=5)
            words = plain(float(f"{y if shape in '^v' else x:.3g}"))
            axes.annotate(words, at, xytext=offset, textcoords="offset points", ha=across, va=up, fontsize=8.5, color=colour)


def thousands(axes: "Axes") -> None:
    """Whole numbers below the horizontal axis: 500, 20k, 1.5M."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: short(value))


def plain(value: float) -> str:
    """A number as it stands beside an axis: 0.002, 1,200, 1e-5."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}".replace("e-0", "e-")


def short(value: float) -> str:
    """A count in a few letters: 950, 20k, 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.4g}"


def _literal(made: "Figure") -> None:
    """Words are drawn as they are: a run may be called $x$, which is no formula."""
    from matplotlib.text import Text

    for text in made.findobj(Text):
        text.set_parse_math(False)


def raster(made: "Figure", dpi: int = 110) -> Image.Image:
    """The figure as an RGB picture."""
    held = io.BytesIO()
    _literal(made)
    made.savefig(held, format="png", dpi=dpi, facecolor="white")
    return Image.open(held).convert("RGB")


def svg(made: "Figure", salt: str) -> str:
    """The figure as SVG to put inside a page: no background, the page's letters and colours. `salt` keeps the ids of several apart."""
    from matplotlib import rc_context

    held = io.StringIO()
    _literal(made)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        made.savefig(held, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", held.getvalue()[held.getvalue().index("<svg") :], flags=re.S)
    for size in ("width", "height"):
        text = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", text)
    used = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    for colour, word in FOLLOWS.items():
        text = text.replace(colour, word)
    return text


def thinned(x: Sequence[float], y: Sequence[float], most: int = 800) -> tuple[list[float], list[float]]:
    """At most `most` points of a line, evenly picked, the last among them."""
    keep = sorted({*range(0, len(x), max(1, -(-len(x) // most))), *range(len(x))[-1:]})
    return [x[i] for i in keep], [y[i] for i in keep]
