"""Frames as a GIF that is small and keeps its last frame on screen for a while."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..errors import Usage
from ..files import replacing
from .picture import opaque

HOLD = 2.0  # seconds that the last frame stays
GREYS = 48  # shades: noise does not compress, and more are not seen in motion


def gif(frames: Sequence[Image.Image], path: str | Path, seconds: float = 4.0) -> Path:
    """Writes a looping GIF: the frames spread over `seconds`, then the last one held for HOLD seconds more. All frames share one palette (greys where all are grey),
    so that colours do not flicker, and the size of the largest, white where they are smaller."""
    if not frames:
        raise Usage("there are no frames to animate")
    path, size = Path(path), (max(f.width for f in frames), max(f.height for f in frames))
    even = [_padded(opaque(f), size) for f in frames]
    first, *rest = _grey(even) if all(f.mode in ("L", "1") for f in even) else _colour([f.convert("RGB") for f in even])
    each = max(20, round(1000 * seconds / max(1, len(frames) - 1) / 10) * 10)  # GIF counts in hundredths; below 2 browsers slow down
    durations = [each] * (len(frames) - 1) + [round(1000 * HOLD)]
    with replacing(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=False, disposal=1)
    return path


def _padded(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    if frame.size == size:
        return frame
    whole = Image.new(frame.mode, size, "white")
    whole.paste(frame, (0, 0))
    return whole


def _grey(frames: list[Image.Image]) -> list[Image.Image]:
    shade = [round(v * (GREYS - 1) / 255) for v in range(256)]
    palette = [round(i * 255 / (GREYS - 1)) for i in range(GREYS) for _ in range(3)]
    indexed = []
    for frame in frames:
        image = Image.frombytes("P", frame.size, frame.convert("L").point(shade).tobytes())
        image.putpalette(palette)
        indexed.append(image)
    return indexed


def _colour(frames: list[Image.Image]) -> list[Image.Image]:
    last = frames[-1]
    montage = Image.new("RGB", (last.width, last.height * 4))  # half of the palette is learnt from the frame that is held
    for i, frame in enumerate((frames[0], frames[len(frames) // 2], last, last)):
        montage.paste(frame, (0, i * last.height))
    palette = montage.quantize(256, method=Image.Quantize.MEDIANCUT)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
