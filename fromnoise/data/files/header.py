"""What a picture's file says of it before its pixels are decoded, and what is said of one that cannot be read."""

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ...errors import Problem
from .profile import exact_of, grey, inked, to_srgb

USUAL = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".jfif", ".jpe", ".avif", ".jp2", ".apng", ".ppm", ".pgm", ".tga")
ENDINGS = tuple(ending for ending in USUAL if ending in Image.registered_extensions())  # AVIF is read where Pillow was built for it
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 1 << 28  # bytes: a comment of 1 MB is no damage
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
ORIENTATION = 0x0112
REASONS = {
    UnidentifiedImageError: "it is no picture", Image.DecompressionBombError: "it has too many pixels",
    FileNotFoundError: "there is no such file", PermissionError: "it may not be read",
}  # fmt: skip
DAMAGE = (*REASONS, OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)  # by Pillow


class Broken(Problem):
    """A file that should be a picture and cannot be read as one."""


@dataclass(frozen=True)
class Header:
    """What a picture's file says of it before its pixels are decoded; width and height after EXIF's turn."""

    width: int
    height: int
    mode: str  # Pillow's name: "L", "RGB", "P", "CMYK", ...
    depth: int  # bits per channel: 1, 8, 16 or 32
    colour: bool
    alpha: bool
    pages: int = 1  # of a stack or film, of which the first is read
    profile: bool = False  # whether its colours are not sRGB's
    unapplied: bool = False  # nor made so


def header(path: str | Path) -> Header:
    """The header of the picture at `path`. Raises Broken where it is none."""
    with opened(path) as image:
        width, height = image.size
        # a PNG's getexif decodes the whole file to look behind the pixels; TIFF is turned by Pillow itself
        turnable = image.format not in ("PNG", "TIFF") or "exif" in image.info
        if turnable and image.getexif().get(ORIENTATION) in TURNED and image.format != "TIFF":
            width, height = height, width
        depth, colour = depth_of(image), not grey(image)
        profile = to_srgb(image.info.get("icc_profile"), inked(image)) is not None
        unapplied = profile and depth > 8 and exact_of(image) is None
        return Header(width, height, image.mode, depth, colour, image.has_transparency_data, _pages(image), profile, unapplied)


def _pages(image: Image.Image) -> int:
    """How many pages or frames there are; 2 where those after the first are cut short, which the first one is not."""
    try:
        return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # a phone's JPEG carries previews of the same picture
    except DAMAGE:
        return 2


def depth_of(image: Image.Image) -> int:
    """Bits per channel: 1, 8, 16 or 32."""
    if image.mode in ("1", "F"):
        return {"1": 1, "F": 32}[image.mode]
    return 16 if image.mode.startswith("I") or any("16" in raw(tile) for tile in getattr(image, "tile", ())) else 8


def raw(tile) -> str:
    """The name of the layout that a file's pixels have, such as RGB;16B."""
    return str(tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args)


@contextmanager
def opened(path: str | Path) -> Iterator[Image.Image]:
    """Pillow's image at `path`; whatever goes wrong while it is in use is a Broken in few words."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # nor opened: reading from a pipe would wait for ever
            raise Broken("it is no file")
        # by a handle, not by name: Pillow maps named TIFFs into memory with width and height exchanged where EXIF turns them
        with open(path, "rb") as file, Image.open(file) as image:
            yield image
    except Problem:
        raise  # in words already
    except DAMAGE as error:
        if isinstance(error, UnidentifiedImageError) and os.path.exists(path) and os.path.getsize(path) == 0:
            raise Broken("the file is empty") from error
        other = (error.strerror or "").lower() if isinstance(error, OSError) else ""  # by the system, where Pillow's have none
        raise Broken(next((words for kind, words in REASONS.items() if isinstance(error, kind)), other or "it is cut short or damaged")) from error
