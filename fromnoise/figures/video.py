"""Clips: as a few of their frames, as films that play (GIF, WebP, APNG, mp4), and in a page that plays them."""

import base64
import io
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..config import Recipe
from ..errors import Usage
from ..files import replacing
from .animation import looping
from .picture import NOTHING, WRITERS, enlarged, evenly, opaque, pictures, sheet

RATE = 8.0  # frames a second where a run does not say
SHOWN, MOST = 3, 16  # frames of a clip among many, and of one among few
SMALL = 40  # pixels: frames smaller than this are enlarged
FASTEST = 50  # frames a second, beyond which browsers slow a GIF down
HEAVY = 900_000  # bytes that a film may take in a page
QUALITY = {"crf": "18", "preset": "medium"}  # of H.264: no loss is seen


def rate_of(recipe: Recipe) -> float:
    """Frames a second of what a run makes."""
    return recipe.rate or RATE


def stills(x: Tensor, scale: int, most: int = SHOWN) -> list[Image.Image]:
    """A tile of each clip (N, C, T, H, W): its first, middle and last frame side by side, or as many as `most`; frames are enlarged by `scale`, 0: until SMALL."""
    scale = scale or max(1, round(SMALL / max(x.shape[-2:])))
    chosen = [enlarged(x[:, :, at], scale) for at in evenly(x.shape[2], most)]
    return [sheet(row, len(row), pad=1) for row in zip(*chosen, strict=True)]


def strips(x: Tensor, scale: int) -> list[Image.Image]:
    """A film strip of each clip (N, C, T, H, W): all of its frames, or MOST evenly spread."""
    return stills(x, scale, MOST)


def frames(x: Tensor) -> Sequence[Tensor]:
    """The pictures (N, C, H, W) of clips (N, C, T, H, W) that are shown one after another."""
    return x.unbind(2)


def clips(x: Tensor, path: Path, recipe: Recipe) -> Path:
    """Clips (N, C, T, H, W) as one film: one in its own size, but enlarged for mp4; several play together in a grid."""
    if len(x) == 0:
        raise Usage(NOTHING)
    if len(x) > 1:
        shown = [sheet(enlarged(part, 0)) for part in frames(x)]
    else:
        shown = [(enlarged(part, 0) if path.suffix == ".mp4" else pictures(part))[0] for part in frames(x)]
    return play(shown, path, rate_of(recipe))


def play(shown: Sequence[Image.Image], path: Path, rate: float) -> Path:
    """Writes pictures of one size, `rate` a second, as the ending of `path` says; all but mp4 play for ever, and lose nothing, but colours in GIF are 256."""
    with replacing(path) as temporary:
        FILMS[path.suffix](shown, temporary, rate)
    return path


def delays(count: int, rate: float, unit: int) -> list[int]:
    """How long each of `count` frames is shown, in whole units of `unit` milliseconds: rounded so that no error adds up."""
    ends = [round(1000 * i / rate / unit) for i in range(count + 1)]
    return [unit * max(1, after - before) for before, after in zip(ends, ends[1:], strict=False)]


def _gif(shown: Sequence[Image.Image], path: Path, rate: float) -> None:
    if rate > FASTEST:
        print(f"fromnoise: a GIF shows at most {FASTEST} frames a second, so it plays slower than {rate:g}; .webp, .apng and .mp4 do not", file=sys.stderr)
    looping(shown, path, delays(len(shown), min(rate, FASTEST), 10))


def _webp(shown: Sequence[Image.Image], path: Path, rate: float) -> None:
    first, *rest = shown
    first.save(path, "WEBP", save_all=True, append_images=rest, duration=delays(len(shown), rate, 1), loop=0, lossless=True, exact=True)


def _apng(shown: Sequence[Image.Image], path: Path, rate: float) -> None:
    first, *rest = shown
    first.save(path, "PNG", save_all=True, append_images=rest, duration=delays(len(shown), rate, 1), loop=0)


def _mp4(shown: Sequence[Image.Image], path: Path, rate: float) -> None:
    """H.264 in yuv420p, which every player knows; sides that are odd have their last row or column twice."""
    av = WRITERS[".mp4"]()
    pixels = [np.asarray(opaque(frame).convert("RGB")) for frame in shown]
    height, width = int(pixels[0].shape[0]), int(pixels[0].shape[1])
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001), options=QUALITY)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        for one in pixels:
            even = np.pad(one, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), "rgb24")))
        file.mux(stream.encode())


FILMS: dict[str, Callable[[Any, Any, float], None]] = {".webp": _webp, ".gif": _gif, ".apng": _apng, ".mp4": _mp4}


def player(path: Path) -> str:
    """The film of an animated picture as a part of a page that plays it, embedded whole, of less quality where it would be heavy."""
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as opened:
        (width, height), kind = opened.size, (opened.format or "webp").lower()
        for quality in (80, 50, 20):
            if len(data) <= HEAVY:
                break
            held = io.BytesIO()
            opened.save(held, "WEBP", save_all=True, loop=0, duration=_delays(opened), quality=quality)
            data, kind = held.getvalue(), "webp"
    shown = f'<img src="data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}" width="{width}" height="{height}" alt="Samples that play">'
    return f"<figure>{shown}<figcaption>Samples from fixed noise, playing.</figcaption></figure>"


def _delays(film: Image.Image) -> list[int]:
    found = []
    for i in range(getattr(film, "n_frames", 1)):
        film.seek(i)
        film.load()
        found.append(int(film.info.get("duration") or 0))
    film.seek(0)
    return found
