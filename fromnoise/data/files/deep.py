"""Pictures of more than 8 bits a channel, with all of them kept."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .header import ORIENTATION, TURNED, Broken, depth_of, raw
from .profile import deep_in_srgb, grey, in_srgb

DEEP = ("L", "LA", "RGB", "RGBA")  # modes of 16-bit files whose channels are light and alpha, as those of CMYK are not


def deep_pixels(image: Image.Image, path: str | Path) -> np.ndarray:
    """The picture (H, W, C) float32 in [0, 1], C 1 to 4, turned as EXIF says."""
    if image.mode.startswith("I") or image.mode == "F":
        return _turned(deep_in_srgb(_shares(image)[..., None], image), image)
    if depth_of(image) == 16 and image.mode in DEEP:
        try:
            fine = _low_bytes(path)
            image.load()
            coarse = np.asarray(image)
            if fine.shape == coarse.shape:
                return _turned(deep_in_srgb((coarse * np.float32(256) + fine) / np.float32(65535), image), image)
        except (ValueError, KeyError):
            pass  # Pillow has no reader for that layout's low bytes: 8 of the 16 bits it is
    image = in_srgb(ImageOps.exif_transpose(image))
    mode = ("L" if grey(image) else "RGB") if not image.has_transparency_data else "RGBA"
    pixels = np.asarray(image.convert(mode), np.float32) / 255
    return pixels.reshape(*pixels.shape[:2], -1)


def _low_bytes(path: str | Path) -> np.ndarray:
    """The low bytes of a 16-bit colour picture, (H, W, C) uint8.

    Pillow keeps the high byte of each 16-bit sample, the first one of big-endian data. Told that the data is of the other
    endianness it keeps what is really the low byte, so that two passes give all 16 bits.
    """
    other = {"16B": "16L", "16L": "16B", "16N": "16B"}
    with open(path, "rb") as file, Image.open(file) as image:
        for i, tile in enumerate(image.tile):
            swapped = raw(tile)[:-3] + other[raw(tile)[-3:]]
            image.tile[i] = tile._replace(args=(swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped)
        image.load()
        return np.asarray(image)


def _turned(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """Pixels (H, W, …) of an image as its EXIF orientation 1 to 8 means them to be seen; a TIFF's are turned already."""
    orientation = None if image.format == "TIFF" else image.getexif().get(ORIENTATION)
    if orientation in TURNED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _shares(image: Image.Image) -> np.ndarray:
    """A grey picture (H, W) of more than 8 bits as float32 in [0, 1]. Raises Broken where its numbers are not to be understood."""
    image.load()  # before its shape is read: Pillow turns a TIFF while loading
    values, top = np.asarray(image), 1.0 if image.mode == "F" else 65535.0
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):
        raise Broken(f"its values reach from {low:g} to {high:g}, not from 0 to {top:g}; save it with 8 or 16 bits")
    return values.astype(np.float32) / top
