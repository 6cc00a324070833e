"""Samples as one picture that says what was asked for."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from .picture import grid, save, tiles, write
from .strip import strip

MOST, LETTERS = 16, 14  # classes that have a column each; letters of a line under a tile, but more under wide ones


def samples(images: Tensor, conditions: Mapping[str, Any], classes: Sequence[str] = (), columns: int | None = None) -> Image.Image:
    """Samples (N, C, *S) of {key: values} with their captions or classes: a column a class where these come in turn, else words under each tile.

    Points (N, D), and samples of which all were asked the same, are a plain grid.
    """
    labels, text = conditions.get("label"), conditions.get("text")
    names = [classes[i] if i < len(classes) else str(i) for i in labels.tolist()] if isinstance(labels, Tensor) else []
    turn = len(dict.fromkeys(names))
    if images.ndim == 2 or (turn < 2 and text is None):
        return grid(images, columns)
    shown = tiles(images)
    if text is None and turn <= MOST and all(name == names[i % turn] for i, name in enumerate(names)):
        return strip([shown[i : i + turn] for i in range(0, len(shown), turn)], columns=names[:turn])
    letters = max(LETTERS, shown[0].width // 6)
    words = ["\n".join(textwrap.wrap(said or "", letters, max_lines=3, placeholder=" …")) for said in text or names]
    columns = columns or math.ceil(math.sqrt(len(shown)))
    starts = range(0, len(shown), columns)
    return strip([shown[i : i + columns] for i in starts], captions=[words[i : i + columns] for i in starts])


def write_samples(images: Tensor, path: Path, conditions: Mapping[str, Any], classes: Sequence[str] = ()) -> Path:
    """Writes samples as the ending of `path` says: an archive, a folder or one sample as `save` does, else one picture with its words; the path."""
    labels = conditions.get("label")
    if len(images) == 1 or path.suffix in ("", ".npz"):
        return save(images, path, None if labels is None else labels.tolist())
    return write(samples(images, conditions, classes), path)
