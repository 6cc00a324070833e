"""How examples of each kind are shown, and what samples are written as."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ..config import Recipe
from ..data.dataset import usual_medium
from ..data.units import Units, in_own_units
from ..errors import Usage
from ..files import ending, replacing
from ..registry import lookup
from . import picture, scans, signals, solids, sound, space, text, video
from .picture import NOTHING, pictures, sheet, stem, to_uint8, write

NONE = Recipe()
FEW = 8  # examples that are shown whole


@dataclass(frozen=True)
class Medium:
    """What examples of a kind are to somebody who looks at them.

    tiles     (x (N, C, *S), scale or 0, and the units where x has some) -> opaque pictures of one size
    endings   under which samples are written beside pictures and archives, the first that of single files in a folder, by
    writer    (x (N, C, *S), path, the recipe of their run)
    likeness  (x, x_hat) -> a word for each, of how near a reconstruction is
    differs   whether the difference of two examples can be looked at like one
    kept      the ending under which a run keeps samples beside their grid, for its report, and
    player    (that file) -> its HTML
    printed   (x, the recipe) -> a line for each, of what is read rather than looked at
    whole     (x, scale or 0) -> wider tiles, in which all of an example is seen, for at most FEW of them
    frames    (x) -> what is shown one after another where it plays, pictures (N, C, H, W) each time
    """

    tiles: Callable[..., list[Image.Image]]
    endings: tuple[str, ...] = ()
    writer: Callable[[Tensor, Path, Recipe], object] | None = None
    differs: bool = True
    kept: str = ""
    player: Callable[[Path], str] | None = None
    printed: Callable[[Tensor, Recipe], list[str]] | None = None
    likeness: Callable[[Tensor, Tensor], list[str]] = picture.decibels
    whole: Callable[[Tensor, int], list[Image.Image]] | None = None
    frames: Callable[[Tensor], Sequence[Tensor]] | None = None

    @property
    def func(self) -> Callable[..., list[Image.Image]]:
        """What shows them, whose words are those of the medium in a list."""
        return self.tiles


MEDIA: dict[str, Medium] = {
    "points": Medium(picture.scatter),
    "signals": Medium(signals.curves, (".csv", ".npy"), signals.write, differs=False),
    "pictures": Medium(picture.enlarged),
    "videos": Medium(
        video.stills, tuple(video.FILMS), video.clips, kept=".webp", player=video.player, whole=video.strips, frames=video.frames
    ),  # fmt: skip
    "clouds": Medium(space.clouds, (".ply",), solids.shapes, differs=False),
    "text": Medium(text.tiles, (".txt",), text.write, False, ".txt", text.player, text.printed, text.likeness),
    "sound": Medium(sound.spectrograms, (".wav",), sound.sounds, differs=False, kept=".wav", player=sound.player),
    "scans": Medium(scans.slices, (".npy", ".nii.gz", ".nii"), scans.write),
    "volumes": Medium(space.volumes, (".obj", ".glb", ".stl", ".ply"), solids.shapes, differs=False),
}


def medium_of(shape: Sequence[int], name: str | None = None) -> Medium:
    """The medium of this name; where there is none, the usual one of examples of this shape, (C, *S) or (D,)."""
    return lookup(MEDIA, name or usual_medium(shape), "medium")


def endings(shape: Sequence[int], medium: str | None = None) -> tuple[str, ...]:
    """The endings of files under which samples of this shape, (C, *S), can be written beside pictures and archives."""
    return medium_of(shape, medium).endings


def tiles(x: Tensor, scale: int | None = None, medium: str | None = None, units: Units | None = None) -> list[Image.Image]:
    """What a batch looks like, as opaque tiles (L or RGB) of one size, by its medium.

    Points (N, D) are one scatter of their first two coordinates, clouds (N, 3, L) of points in space and volumes (N, 1, D, H, W) a view of each,
    other signals (N, C, L) a panel of curves each, pictures (N, C, H, W) a tile each, enlarged by the whole factor `scale` (by default until EDGE pixels are
    reached), videos (N, C, T, H, W) their first, middle and last frame side by side. units: those of signals and scans.
    """
    if len(x) == 0:
        raise Usage(NOTHING)
    return medium_of(x.shape[1:], medium).tiles(x, scale or 0, *([units] if units else []))


def at_moment(x: Tensor, i: int, medium: str | None = None) -> tuple[Tensor, str | None]:
    """What is shown of x (N, C, *S), and as what, in the i-th picture of a film: of clips a frame, so that they play on; of all else x itself."""
    frames = medium_of(x.shape[1:], medium).frames
    return (x, medium) if frames is None else (frames(x)[i % len(frames(x))], "pictures")


def grid(images: Tensor, columns: int | None = None, pad: int = 2, scale: int | None = None, medium: str | None = None, units: Units | None = None) -> Image.Image:
    """A batch as one picture: (N, C, H, W) as a sheet of tiles, points (N, 2) as one large scatter, a few videos as film strips, one below the other. See `tiles`
    for `scale`."""
    if (whole := medium_of(images.shape[1:], medium).whole) and 0 < len(images) <= FEW:
        return sheet(whole(images, scale or 0), columns or 1, pad)
    return sheet(tiles(images, scale or (2 if images.ndim == 2 else None), medium, units), columns, pad)


def save(images: Tensor, path: str | Path, labels: Iterable[int] | None = None, recipe: Recipe = NONE) -> Path:
    """Writes samples as the ending of `path` says, wholly or not at all, and returns the path.

    An ending of their medium: as that writes them. `.npz`: `arr_0` uint8 (N, H, W, C) and, with labels, `arr_1` int64 (N,), as the ADM evaluation suite reads
    them, videos (N, T, H, W, C); floats, in their own units, where the samples are neither. No suffix: a folder with one file each, of their medium, or a PNG in
    the sample's own size and mode. Any other suffix: one picture, the sample itself for N = 1 and a grid for more. Raises Usage where Pillow does not know it.
    """
    path, medium, units = Path(path), medium_of(images.shape[1:], recipe.medium), Units.of(recipe.units)
    end = ending(path)
    labels = None if labels is None else np.asarray(list(labels), dtype=np.int64)
    if medium.writer and end in medium.endings:
        medium.writer(images, path, recipe)
    elif medium.writer and end == "":
        for i in range(len(images)):
            medium.writer(images[i : i + 1], path / f"{stem(i, labels)}{medium.endings[0]}", recipe)
    elif path.suffix == ".npz":
        arrays = [to_uint8(images) if images.ndim == 4 or medium.frames else in_own_units(images, units).float().numpy()]
        with replacing(path) as temporary:
            np.savez_compressed(temporary, *arrays, *([] if labels is None else [labels]))
    elif path.suffix == "":
        for i, one in enumerate(pictures(images) if images.ndim == 4 else tiles(images, None, recipe.medium, units)):
            write(one, path / f"{stem(i, labels)}.png")
    else:
        single = len(images) == 1 and images.ndim == 4
        write(pictures(images)[0] if single else grid(images, medium=recipe.medium, units=units), path)
    return path
