"""Whether a folder holds films or single pictures, which may both be pictures with numbers in their names."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..files.films import CLIPS, film, read
from ..files.header import ENDINGS, Broken
from ..files.pictures import Look
from ..files.walk import walk

SIDE = 32  # of frames that are compared
STILL = 0.004  # of full scale, by which the frames of a film differ on average that hardly moves
NEAR = 0.75  # of the difference between pictures that are far apart, what successive ones of a film at most differ by
PAIRS = 24  # of pictures that are compared


class Among(NamedTuple):
    """How many films, of how many files, and how many single pictures."""

    films: int
    files: int
    pictures: int


def among(path: str | Path) -> Among:
    """What a folder holds of films and of pictures; numbered pictures that are no frames of a film are single ones. None of both where it is no folder."""
    root = Path(path).expanduser()
    if not root.is_dir():
        return Among(0, 0, 0)
    found = walk(root, kind=CLIPS)
    films, files, pictures = 0, 0, sum(name.lower().endswith(ENDINGS) for name in found.others)
    for place in (root / name for name in found.files):
        count = len(film(place)) if place.is_dir() else 1
        if place.is_file() or _is_film(place):
            films, files = films + 1, files + count
        else:
            pictures += count
    return Among(films, files, pictures)


def _is_film(folder: Path) -> bool:
    """Whether numbered pictures change less from one to the next than between those that are far apart, as frames of a film do."""
    look = Look((SIDE, SIDE), "grey", "resize")
    try:
        about = film(folder)
        first = np.unique(np.linspace(0, len(about) - 2, PAIRS).round().astype(int))
        here, following = (read(folder, about, rows, look).astype(float) for rows in (first, first + 1))
    except Broken:
        return True  # what is wrong is said when it is read
    apart = np.abs(here - np.roll(here, len(here) // 2, 0)).mean()
    return bool(np.abs(here - following).mean() <= max(NEAR * apart, 255 * STILL))
