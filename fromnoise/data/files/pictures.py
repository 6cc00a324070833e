"""One picture file, of any usual kind, as an array of the size and channels of a set."""

import io
import math
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageColor, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from ...errors import Problem, Usage, nearest
from ..dataset import scaled
from .profile import SRGB, exact

USUAL = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".jfif", ".jpe", ".avif", ".jp2", ".apng", ".ppm", ".pgm", ".tga")
ENDINGS = tuple(ending for ending in USUAL if ending in Image.registered_extensions())  # AVIF is read where Pillow was built for it
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 1 << 28  # bytes: a comment of 1 MB is no damage
CHANNELS = {"grey": ("L", 1), "rgb": ("RGB", 3), "rgba": ("RGBA", 4)}
FITS = ("crop", "pad", "resize")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as Pillow's own conversion
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
ORIENTATION = 0x0112
LARGE = 1 << 24  # pixels of an image that is reduced before anything else is done with it
DEEP = ("L", "LA", "RGB", "RGBA")  # modes of 16-bit files whose channels are light and alpha, as those of CMYK are not
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
    with _opened(path) as image:
        width, height = image.size
        # a PNG's getexif decodes the whole file to look behind the pixels; TIFF is turned by Pillow itself
        turnable = image.format not in ("PNG", "TIFF") or "exif" in image.info
        if turnable and image.getexif().get(ORIENTATION) in TURNED and image.format != "TIFF":
            width, height = height, width
        depth, colour = _depth(image), not _grey(image)
        profile = _to_srgb(image.info.get("icc_profile"), _inked(image)) is not None
        unapplied = profile and depth > 8 and _exact(image) is None
        return Header(width, height, image.mode, depth, colour, image.has_transparency_data, _pages(image), profile, unapplied)


def _pages(image: Image.Image) -> int:
    """How many pages or frames there are; 2 where those after the first are cut short, which the first one is not."""
    try:
        return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # a phone's JPEG carries previews of the same picture
    except DAMAGE:
        return 2


def _grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


def _depth(image: Image.Image) -> int:
    if image.mode in ("1", "F"):
        return {"1": 1, "F": 32}[image.mode]
    return 16 if image.mode.startswith("I") or any("16" in _raw(tile) for tile in getattr(image, "tile", ())) else 8


def _inked(image: Image.Image) -> str:
    """The mode in which an image's colour profile speaks of it: grey, ink, or red, green and blue."""
    return "L" if _grey(image) else "CMYK" if image.mode == "CMYK" else "RGB"


@lru_cache(maxsize=64)
def _to_srgb(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What brings colours of a mode to sRGB; None where they are there already, or the profile is of no use."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        if not profile or "sRGB" in ImageCms.getProfileDescription(own):
            return None
        flags = ImageCms.Flags.NOCACHE | ImageCms.Flags.BLACKPOINTCOMPENSATION  # no cache: threads share it
        if mode == "L":
            flags |= ImageCms.Flags.NOOPTIMIZE  # what is dark is off by 10 levels with its tables
        return ImageCms.buildTransform(own, SRGB, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, flags)
    except (ImageCms.PyCMSError, OSError):
        return None


def _in_srgb(image: Image.Image) -> Image.Image:
    """The image (8 bits a channel) in sRGB, by the colour profile that it carries; as it is where it carries none."""
    mode = _inked(image)
    transform = _to_srgb(image.info.get("icc_profile"), mode)
    if transform is None:
        return image
    whole = image.convert("RGBA") if image.has_transparency_data else None
    made = transform.apply(image.convert(mode))
    if whole is not None:
        made.putalpha(whole.getchannel("A"))
    return made


def _exact(image: Image.Image) -> Callable[[np.ndarray], np.ndarray] | None:
    """What brings the image's colours to sRGB with all their bits; None where they are there already, or only `_in_srgb` can."""
    profile = image.info.get("icc_profile")
    return exact(profile, _grey(image)) if image.mode != "CMYK" and _to_srgb(profile, _inked(image)) else None


def _deep_in_srgb(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """Pixels (H, W, C) of an image of more than 8 bits in sRGB, as far as its profile is one of curves and a matrix."""
    bring, body = _exact(image), 1 if _grey(image) else 3
    return pixels if bring is None else np.concatenate([bring(pixels[..., :body]), pixels[..., body:]], -1)


def _raw(tile) -> str:
    """The name of the layout that a file's pixels have, such as RGB;16B."""
    return str(tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args)


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
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


def half_box(half: str, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a half of a picture; an odd middle column or row is of neither."""
    wide, high = width // 2, height // 2
    return {
        "left": (0, 0, wide, height), "right": (width - wide, 0, width, height),
        "top": (0, 0, width, high), "bottom": (0, height - high, width, height),
    }[half]  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What every picture of a set becomes: `size` (height, width), `channels` grey, rgb or rgba, 8 bits or `deep`; (C, H, W).

    fit: crop covers the size and cuts the rest off evenly on both sides, pad shows all of the picture with bars in the background's
    colour, resize stretches. Transparent pictures are laid on the background where the set has no alpha. `half`: of the picture, alone.
    """

    size: tuple[int, int]
    channels: str
    fit: str = "crop"
    background: str = "white"
    deep: bool = False
    half: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        return (CHANNELS[self.channels][1], *self.size)

    @property
    def bytes(self) -> int:
        """Of one picture in memory."""
        return math.prod(self.shape) * (4 if self.deep else 1)

    def __call__(self, path: str | Path) -> np.ndarray:
        """The picture (C, H, W): uint8, or float32 in [-1, 1] where the set is deep. Raises Broken."""
        with _opened(path) as image:
            return _deep(self, image, path) if self.deep else _plain(self, image)


def colour(name: str | list[int] | tuple[int, ...]) -> tuple[int, int, int]:
    """(r, g, b) of a colour's name, its #rrggbb, or a list of three numbers from 0 to 255. Raises Usage."""
    try:
        r, g, b = ImageColor.getrgb(name)[:3] if isinstance(name, str) else [int(value) for value in name]
        if not (0 <= min(r, g, b) and max(r, g, b) <= 255):
            raise ValueError("out of range")
        return r, g, b
    except (ValueError, TypeError, OverflowError) as error:
        raise Usage(f"{name!r} is no colour; give a name such as white, #rrggbb, or [255, 255, 255]") from error


def check(fit: str, channels: str | None) -> None:
    """Raises Usage where a setting's name is unknown."""
    if fit not in FITS:
        raise Usage(f"no fit {fit!r}{nearest(fit, FITS)}")
    if channels is not None and channels not in CHANNELS:
        raise Usage(f"no channels {channels!r}{nearest(channels, CHANNELS)}")


def picture(path: str | Path, channels: int, size: tuple[int, int] | None = None, fit: str = "crop", background: str = "white") -> Tensor:
    """One picture file (channels, height, width) in [-1, 1], of its own size where none is given; raises Usage without a file, Problem for a broken one."""
    if not Path(path).exists():
        raise Usage(f"there is no picture {path}")
    known = {count: name for name, (_, count) in CHANNELS.items()}
    if channels not in known:
        raise Usage(f"a picture file has 1, 3 or 4 channels, not {channels}; give this one from Python")
    try:
        found = header(path)
        return scaled(torch.from_numpy(Look(size or (found.height, found.width), known[channels], fit, background)(path).copy()))
    except Broken as error:
        raise Problem(f"{path}: {error}") from error


def _plan(look: Look, width: int, height: int) -> tuple[Callable[[Image.Image], Image.Image], tuple[int, int]]:
    """How a width x height picture is resampled, and where its top left corner then lies in the result."""
    high, wide = look.size
    box, inner = (0.0, 0.0, float(width), float(height)), (wide, high)
    if look.fit == "crop":
        ratio = min(width / wide, height / high)
        left, top = (width - wide * ratio) / 2, (height - high * ratio) / 2
        box = (left, top, left + wide * ratio, top + high * ratio)
    elif look.fit == "pad":
        ratio = max(width / wide, height / high)
        inner = max(1, min(wide, round(width / ratio))), max(1, min(high, round(height / ratio)))
    shrinks = box[2] - box[0] > inner[0] or box[3] - box[1] > inner[1]
    method, same = Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC, (width, height) == inner
    return lambda image: image if same else image.resize(inner, method, box), ((wide - inner[0]) // 2, (high - inner[1]) // 2)


def _plain(look: Look, image: Image.Image) -> np.ndarray:
    """The picture (C, H, W) uint8, by Pillow alone."""
    image.draft(image.mode, (2 * max(look.size),) * 2)  # a JPEG much larger than needed is decoded at a half, quarter or eighth
    if image.mode.startswith("I") or image.mode == "F":  # Pillow's own conversion would clip these greys rather than scale them
        image = Image.fromarray(np.rint(_deep_pixels(image, "")[..., 0] * 255).astype(np.uint8))
    else:
        image = _in_srgb(ImageOps.exif_transpose(_reduced(image, (4 if look.half else 2) * max(look.size))))
    if look.half:
        image = image.crop(half_box(look.half, *image.size))
    mode = CHANNELS[look.channels][0]
    if image.has_transparency_data and mode != "RGBA":
        under = Image.new("RGBA", image.size, (*colour(look.background), 255))
        image = Image.alpha_composite(under, image.convert("RGBA"))
    image = image.convert(mode)
    resample, corner = _plan(look, *image.size)
    image = resample(image)
    high, wide = look.size
    if image.size != (wide, high):
        bars = colour(look.background) + ((0,) if mode == "RGBA" else ())
        canvas = Image.new("RGBA" if mode == "RGBA" else "RGB", (wide, high), bars).convert(mode)
        canvas.paste(image, corner)
        image = canvas
    return np.ascontiguousarray(np.asarray(image).reshape(*look.size, -1).transpose(2, 0, 1))


def _reduced(image: Image.Image, least: int) -> Image.Image:
    """A very large image by means of whole squares of pixels, its short side `least` or more: what follows makes several copies of it."""
    factor, large = min(image.size) // least, image.width * image.height > LARGE
    return image.reduce(factor) if factor > 1 and large and image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") else image


def _shares(image: Image.Image) -> np.ndarray:
    """A grey picture (H, W) of more than 8 bits as float32 in [0, 1]. Raises Broken where its numbers are not to be understood."""
    image.load()  # before its shape is read: Pillow turns a TIFF while loading
    values, top = np.asarray(image), 1.0 if image.mode == "F" else 65535.0
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):
        raise Broken(f"its values reach from {low:g} to {high:g}, not from 0 to {top:g}; save it with 8 or 16 bits")
    return values.astype(np.float32) / top


def _deep(look: Look, image: Image.Image, path: str | Path) -> np.ndarray:
    """The picture (C, H, W) float32 in [-1, 1], with all of 16 bits kept."""
    pixels = _deep_pixels(image, path)  # (H, W, 1..4) in [0, 1]
    if look.half:
        left, top, right, bottom = half_box(look.half, pixels.shape[1], pixels.shape[0])
        pixels = pixels[top:bottom, left:right]
    alpha = pixels[..., -1:] if pixels.shape[-1] in (2, 4) else np.ones_like(pixels[..., :1])
    under = np.array(colour(look.background), np.float32) / 255
    body = np.broadcast_to(pixels[..., : 3 if pixels.shape[-1] > 2 else 1], (*pixels.shape[:2], 3))
    body = body * alpha if look.channels == "rgba" else body * alpha + under * (1 - alpha)  # weighted by alpha while it is resampled
    if look.channels == "grey":
        body, under = (body @ LUMA)[..., None], (under @ LUMA)[None]
    elif look.channels == "rgba":
        body, under = np.concatenate([body, alpha], -1), np.zeros(4, np.float32)
    resample, (left, top) = _plan(look, pixels.shape[1], pixels.shape[0])
    planes = [np.asarray(resample(Image.fromarray(np.ascontiguousarray(plane)))) for plane in body.transpose(2, 0, 1)]
    out = np.tile(under[:, None, None], (1, *look.size)).astype(np.float32)
    out[:, top : top + planes[0].shape[0], left : left + planes[0].shape[1]] = planes
    if look.channels == "rgba":
        out[:3] /= np.maximum(out[3:], 1 / 65535)
    return out.clip(0, 1) * 2 - 1


def _deep_pixels(image: Image.Image, path: str | Path) -> np.ndarray:
    """The picture (H, W, C) float32 in [0, 1], C 1 to 4, turned as EXIF says."""
    if image.mode.startswith("I") or image.mode == "F":
        return _turned(_deep_in_srgb(_shares(image)[..., None], image), image)
    if _depth(image) == 16 and image.mode in DEEP:
        try:
            fine = _low_bytes(path)
            image.load()
            coarse = np.asarray(image)
            if fine.shape == coarse.shape:
                return _turned(_deep_in_srgb((coarse * np.float32(256) + fine) / np.float32(65535), image), image)
        except (ValueError, KeyError):
            pass  # Pillow has no reader for that layout's low bytes: 8 of the 16 bits it is
    image = _in_srgb(ImageOps.exif_transpose(image))
    mode = ("L" if _grey(image) else "RGB") if not image.has_transparency_data else "RGBA"
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
            swapped = _raw(tile)[:-3] + other[_raw(tile)[-3:]]
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
