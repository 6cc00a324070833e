"""Training, watched: the grids of a run from its first to its last, as a GIF."""

import re
from pathlib import Path

from PIL import Image

from ..errors import Problem
from .animation import gif
from .picture import evenly, opaque
from .strip import titled

FRAMES = 60  # at most


def grids(run: str | Path) -> list[tuple[int, Path]]:
    """The grids that a run drew from its fixed noise, (step, file), in order."""
    found = ((re.fullmatch(r"step_(\d+)\.png", file.name), file) for file in (Path(run) / "samples").glob("step_*.png"))
    return sorted((int(match[1]), file) for match, file in found if match)


def opened(file: Path) -> Image.Image | None:
    """A picture, wholly read; None where it is missing, cut short or no picture."""
    try:
        with Image.open(file) as picture:
            return opaque(picture.convert("RGB") if picture.mode == "P" else picture.copy())
    except (OSError, SyntaxError, ValueError):
        return None


def progress(run: str | Path, path: str | Path | None = None, seconds: float = 6.0) -> Path:
    """The grids of a run over its training as a GIF with the step below, by default `samples/progress.gif`; raises Problem where there is none yet."""
    drawn = [(step, picture) for step, file in grids(run) if (picture := opened(file)) is not None]
    if not drawn:
        raise Problem(f"{run} has drawn no grids yet (samples/step_*.png); train it for longer")
    frames = [titled(drawn[i][1], f"step {drawn[i][0]:,}") for i in evenly(len(drawn), FRAMES)]
    return gif(frames, path or Path(run) / "samples" / "progress.gif", seconds)
