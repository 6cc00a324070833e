"""Frames as a GIF: of a process, small, its last frame kept on screen for a while; or of a film, with all that a GIF can keep."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..errors import Usage
from ..files import replacing
from .picture import opaque

HOLD = 2.0  # seconds that the last frame stays
GREYS = 48  # shades: noise does not compress, and more are not seen in motion
LEARNT = 8  # frames that the colours of a film are learnt from


def gif(frames: Sequence[Image.Image], path: str | Path, seconds: float = 4.0) -> Path:
    """Writes a looping GIF: the frames spread over `seconds`, then the last one held for HOLD seconds more. All frames share one palette (greys where all are grey),
    so that colours do not flicker, and the size of the largest, white where they are smaller."""
    if not frames:
        raise Usage("there are no frames to animate")
    path, size = Path(path), (max(f.width for f in frames), max(f.height for f in frames))
    each = max(20, round(1000 * seconds / max(1, len(frames) - 1) / 10) * 10)  # GIF counts in hundredths; below 2 browsers slow down
    even, learnt = [_padded(opaque(f), size) for f in frames], (0, len(frames) // 2, -1, -1)  # half of the palette is of the frame that is held
    with replacing(path) as temporary:
        looping(even, temporary, [each] * (len(frames) - 1) + [round(1000 * HOLD)], GREYS, learnt)
    return path


def looping(frames: Sequence[Image.Image], path: Path, delays: Sequence[int], greys: int = 256, learnt: Sequence[int] | None = None) -> None:
    """Writes frames of one size, each shown for so many milliseconds, as a GIF that plays for ever; in one palette: so many `greys` where all are grey, else 256
    colours, learnt from the frames of the numbers `learnt`; None: LEARNT of them, evenly spread."""
    flat = [opaque(frame) for frame in frames]
    if all(frame.mode in ("L", "1") for frame in flat):
        first, *rest = _grey(flat, greys)
    else:
        first, *rest = _colour([frame.convert("RGB") for frame in flat], learnt or range(0, len(flat), -(-len(flat) // LEARNT)))
    first.save(path, format="GIF", save_all=True, append_images=rest, duration=list(delays), loop=0, optimize=False, disposal=1)


def _padded(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    if frame.size == size:
        return frame
    whole = Image.new(frame.mode, size, "white")
    whole.paste(frame, (0, 0))
    return whole


def _grey(frames: list[Image.Image], greys: int) -> list[Image.Image]:
    shade = [round(v * (greys - 1) / 255) for v in range(256)]
    palette = [round(i * 255 / (greys - 1)) for i in range(greys) for _ in range(3)]
    indexed = []
    for frame in frames:
        image = Image.frombytes("P", frame.size, frame.convert("L").point(shade).tobytes())
        image.putpalette(palette)
        indexed.append(image)
    return indexed


def _colour(frames: list[Image.Image], learnt: Sequence[int]) -> list[Image.Image]:
    width, height = frames[0].size
    montage = Image.new("RGB", (width, height * len(learnt)))
    for i, number in enumerate(learnt):
        montage.paste(frames[number], (0, i * height))
    palette = montage.quantize(254, method=Image.Quantize.MEDIANCUT)
    found = (palette.getpalette() or [])[: 254 * 3]
    palette.putpalette([*found, *[0] * (254 * 3 - len(found)), 0, 0, 0, 255, 255, 255])  # black and paper stay what they are
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
