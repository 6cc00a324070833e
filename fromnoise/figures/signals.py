"""Signals as curves to look at, and as tables to go on with: both in the units of their channels."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..config import Recipe
from ..data.units import Units, channel_names, in_own_units
from ..files import replacing
from .figure import COLOURS
from .picture import FAINT, FINE, GROUND, INK, PANEL

WIDTH, ROW, MOST = PANEL + 36, 60, 8  # pixels of a panel's curves, and of a channel's row; channels that are drawn
LEFT, ABOVE, BELOW, LETTERS = 40, 14, 14, 10  # pixels: for numbers, for a name, for the time; of letters
LEAST, ROOM = 1e-12, 0.06  # of a range: that it is widened by at both ends
NUMBER = 9  # digits of a value in a table, which float32 has


def curves(x: Tensor, scale: int = 0, units: Units | None = None) -> list[Image.Image]:
    """A panel of each signal (N, C, L): a row a channel, with its name and its range, which all panels share; time in samples from the left."""
    values = torch.nan_to_num(in_own_units(x, units)[:, :MOST]).numpy()
    names, ranges = channel_names(x.shape[1], units), [_range(values[:, i]) for i in range(values.shape[1])]
    return [_panel(signal, names, ranges, scale or 1) for signal in values]


def _range(values: np.ndarray) -> tuple[float, float]:
    """What the axis of a channel (N, L) reaches over: its values, but for a few far ones."""
    low, high = np.quantile(values, [0.0005, 0.9995])
    room = max(ROOM * (high - low), LEAST, 1e-6 * abs(high))
    return float(low - room), float(high + room)


def _short(value: float) -> str:
    """A number in at most six letters or so."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 100_000 else f"{value:.3g}"


def _panel(signal: np.ndarray, names: Sequence[str], ranges: Sequence[tuple[float, float]], scale: int) -> Image.Image:
    left, above, below, width, row = (part * scale for part in (LEFT, ABOVE, BELOW, WIDTH, ROW))
    panel = Image.new("RGB", (left + width, len(signal) * (row + above) + below), GROUND)
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(LETTERS * scale)
    for i, (channel, name, (low, high)) in enumerate(zip(signal, names, ranges, strict=False)):
        top = i * (row + above) + above
        draw.text((left, top - above), name, INK, font)
        for value, at in ((high, top), (low, top + row - LETTERS * scale)):
            draw.text((left - 4 * scale, at - 2 * scale), _short(value), FAINT, font, anchor="ra")
        panel.paste(_curve(channel, low, high, (width, row), COLOURS[i % len(COLOURS)]), (left, top))
        draw.line((left, top, left, top + row), FAINT)
    at = len(signal) * (row + above)
    draw.text((left, at), "0", FAINT, font)
    draw.text((left + width - 2 * scale, at), f"{signal.shape[1] - 1:,}", FAINT, font, anchor="ra")
    return panel


def _curve(channel: np.ndarray, low: float, high: float, size: tuple[int, int], colour: str) -> Image.Image:
    """One channel (L,) in a picture of a size, drawn larger and reduced, so that it is smooth; with a faint line at 0."""
    width, height = (FINE * side for side in size)
    picture = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(picture)
    rows = (1 - (channel.clip(low, high) - low) / (high - low)) * (height - 1)
    if low < 0 < high:
        zero = (1 + low / (high - low)) * (height - 1)
        draw.line((0, zero, width, zero), (216, 222, 228), FINE)
    across = np.linspace(0, width - 1, len(channel)) if len(channel) > 1 else np.array([0.0])
    draw.line(list(zip(across.tolist(), rows.tolist(), strict=True)), colour, round(1.3 * FINE), joint="curve")
    return picture.reduce(FINE)


def write(x: Tensor, path: Path, recipe: Recipe) -> Path:
    """Writes signals (N, C, L) in the units of their channels: .csv, a column a channel, a row a time, of several with the number of the signal before; .npy
    (N, C, L)."""
    units = Units.of(recipe.units)
    values = in_own_units(x, units).numpy()
    with replacing(path) as temporary:
        if path.suffix == ".npy":
            with open(temporary, "wb") as file:
                np.save(file, values.astype(np.float32))
            return path
        several = len(values) > 1
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow([*["signal"] * several, *channel_names(x.shape[1], units)])
            for i, signal in enumerate(values):
                table.writerows([*[i] * several, *(f"{value:.{NUMBER}g}" for value in row)] for row in signal.T.tolist())
    return path
