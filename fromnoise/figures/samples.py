"""Samples as one picture that says what was asked for."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ..config import Recipe
from ..data.units import Units
from ..files import ending
from .media import FEW, NONE, grid, medium_of, save, tiles
from .picture import even, write
from .strip import strip
from .video import play, rate_of

MOST, LETTERS = 16, 14  # classes that have a column each; letters of a line under a tile, but more under wide ones


def wrapped(text: str, letters: int = LETTERS) -> str:
    """A caption in at most three lines, " …" where it is longer."""
    return "\n".join(textwrap.wrap(text, letters, max_lines=3, placeholder=" …"))


def said(conditions: Mapping[str, Any], classes: Sequence[str] = ()) -> list[str]:
    """What each sample was asked to be, in words beside it: its caption, else its class; [] where neither was said."""
    labels, text = conditions.get("label"), conditions.get("text")
    if text is not None:
        return ["\n" + wrapped(words or "") for words in text]  # small letters, all of them
    return [classes[i] if i < len(classes) else str(i) for i in labels.tolist()] if isinstance(labels, Tensor) else []


def samples(
    images: Tensor, conditions: Mapping[str, Any], classes: Sequence[str] = (), columns: int | None = None, medium: str | None = None, units: Units | None = None
) -> Image.Image:
    """Samples (N, C, *S) of {key: values} with their captions or classes: a column a class where these come in full rows, else words under each tile.

    Points (N, D), and samples of which all were asked the same, are a plain grid. A few clips are film strips with their words beside them.
    """
    text, names = conditions.get("text"), said({"label": conditions.get("label")}, classes)
    turn = len(dict.fromkeys(names))
    if images.ndim == 2 or (turn < 2 and text is None):
        return grid(images, columns, medium=medium, units=units)
    if (whole := medium_of(images.shape[1:], medium).whole) and len(images) <= FEW:
        return strip([[tile] for tile in whole(images, 0)], said(conditions, classes))
    shown = tiles(images, None, medium, units)
    if text is None and turn <= MOST and len(names) % turn == 0 and all(name == names[i % turn] for i, name in enumerate(names)):
        return strip([shown[i : i + turn] for i in range(0, len(shown), turn)], columns=names[:turn])
    letters = max(LETTERS, shown[0].width // 6)
    words = [wrapped(words or "", letters) for words in text or names]
    columns = columns or even(len(shown))
    starts = range(0, len(shown), columns)
    return strip([shown[i : i + columns] for i in starts], captions=[words[i : i + columns] for i in starts])


def write_samples(images: Tensor, path: Path, conditions: Mapping[str, Any], classes: Sequence[str] = (), recipe: Recipe = NONE) -> Path:
    """Writes samples as `save` does where the ending is not that of a picture, or there is one sample, else as one picture, or film, with its words; the path."""
    labels, medium = conditions.get("label"), medium_of(images.shape[1:], recipe.medium)
    if len(images) > 1 and medium.frames and ending(path) in medium.endings:
        return play([samples(part, conditions, classes, medium="pictures") for part in medium.frames(images)], path, rate_of(recipe))
    if len(images) == 1 or ending(path) in ("", ".npz", *medium.endings):
        return save(images, path, None if labels is None else labels.tolist(), recipe)
    return write(samples(images, conditions, classes, medium=recipe.medium, units=Units.of(recipe.units)), path)
