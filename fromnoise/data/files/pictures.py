"""One picture file, of any usual kind, as an array of the size and channels of a set."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageColor, ImageOps
from torch import Tensor

from ...errors import Problem, Usage, nearest
from ..dataset import scaled
from .deep import deep_pixels
from .header import Broken, header, opened
from .profile import in_srgb

CHANNELS = {"grey": ("L", 1), "rgb": ("RGB", 3), "rgba": ("RGBA", 4)}
FITS = ("crop", "pad", "resize")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as Pillow's own conversion
LARGE = 1 << 24  # pixels of an image that is reduced before anything else is done with it


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
        with opened(path) as image:
            return _deep(self, image, path) if self.deep else self.of(image)

    def of(self, image: Image.Image) -> np.ndarray:
        """An image that is open, such as a frame of a film, (C, H, W) uint8."""
        return _plain(self, image)


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
        image = Image.fromarray(np.rint(deep_pixels(image, "")[..., 0] * 255).astype(np.uint8))
    else:
        image = in_srgb(ImageOps.exif_transpose(_reduced(image, (4 if look.half else 2) * max(look.size))))
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


def _deep(look: Look, image: Image.Image, path: str | Path) -> np.ndarray:
    """The picture (C, H, W) float32 in [-1, 1], with all of 16 bits kept."""
    pixels = deep_pixels(image, path)  # (H, W, 1..4) in [0, 1]
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
