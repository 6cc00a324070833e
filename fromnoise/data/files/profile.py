"""Colour profiles of pictures, applied: by Pillow to 8 bits, and those of curves and a matrix in floating point. ICC.1:2022, sections 8.3, 10.6 and 10.18."""

import io
import struct
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.createProfile("sRGB")


def grey(image: Image.Image) -> bool:
    """Whether an image is of one channel of light."""
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


def inked(image: Image.Image) -> str:
    """The mode in which an image's colour profile speaks of it: grey, ink, or red, green and blue."""
    return "L" if grey(image) else "CMYK" if image.mode == "CMYK" else "RGB"


@lru_cache(maxsize=64)
def to_srgb(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
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


def in_srgb(image: Image.Image) -> Image.Image:
    """The image (8 bits a channel) in sRGB, by the colour profile that it carries; as it is where it carries none."""
    mode = inked(image)
    transform = to_srgb(image.info.get("icc_profile"), mode)
    if transform is None:
        return image
    whole = image.convert("RGBA") if image.has_transparency_data else None
    made = transform.apply(image.convert(mode))
    if whole is not None:
        made.putalpha(whole.getchannel("A"))
    return made


def exact_of(image: Image.Image) -> Callable[[np.ndarray], np.ndarray] | None:
    """What brings the image's colours to sRGB with all their bits; None where they are there already, or only `in_srgb` can."""
    profile = image.info.get("icc_profile")
    return exact(profile, grey(image)) if image.mode != "CMYK" and to_srgb(profile, inked(image)) else None


def deep_in_srgb(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """Pixels (H, W, C) of an image of more than 8 bits in sRGB, as far as its profile is one of curves and a matrix."""
    bring, body = exact_of(image), 1 if grey(image) else 3
    return pixels if bring is None else np.concatenate([bring(pixels[..., :body]), pixels[..., body:]], -1)


@lru_cache(maxsize=64)
def exact(profile: bytes, grey: bool) -> Callable[[np.ndarray], np.ndarray] | None:
    """What brings a profile's colours (H, W, 3), or greys (H, W, 1), all in [0, 1], to sRGB; None of a profile of tables, or of another kind of picture."""
    try:
        tags = _tags(profile)
        if any(name.startswith(b"A2B") for name in tags):  # which go before a matrix
            return None
        curves = [_curve(tags[name]) for name in ([b"kTRC"] if grey else [b"rTRC", b"gTRC", b"bTRC"])]
        between = np.eye(1) if grey else np.linalg.solve(_matrix(_tags(ImageCms.ImageCmsProfile(SRGB).tobytes())), _matrix(tags))
    except (KeyError, ValueError, IndexError, struct.error, np.linalg.LinAlgError):
        return None

    def apply(pixels: np.ndarray) -> np.ndarray:
        linear = np.stack([curve(pixels[..., i].astype(np.float64)) for i, curve in enumerate(curves)], -1)
        light = (linear @ between.T).clip(0, 1)
        return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)  # IEC 61966-2-1

    return apply


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The content of each tag."""
    rows = [struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(struct.unpack_from(">I", profile, 128)[0])]
    return {name: profile[start : start + size] for name, start, size in rows}


def _matrix(tags: dict[bytes, bytes]) -> np.ndarray:
    """From linear red, green and blue to XYZ under D50, (3, 3)."""
    return np.array([struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]).T / 65536


def _curve(tag: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """From a channel's values to light: a power, a table, or one of five formulas."""
    if tag[:4] == b"para":
        kind = struct.unpack_from(">H", tag, 8)[0]
        found = np.array(struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)) / 65536
        g, a, b, c, d, e, f = np.pad(found, (0, 7 - len(found)))
        if kind == 0:
            a = 1.0
        elif kind in (1, 2):
            c, d, e, f = 0.0, -b / a, c, c
        return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)
    if tag[:4] != b"curv":
        raise ValueError("no curve")
    count = struct.unpack_from(">I", tag, 8)[0]
    points = np.frombuffer(tag, ">u2", count, 12)
    if count < 2:
        return lambda x: x ** (points[0] / 256 if count else 1.0)
    return lambda x: np.interp(x, np.linspace(0, 1, count), points / 65535)
