"""A film: when its frames are shown, and their pictures. GIF, animated WebP, APNG and AVIF and folders of numbered frames by Pillow, all else by PyAV."""

import math
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import Problem
from .header import ENDINGS, Broken, Header, header, opened
from .pictures import Look
from .walk import HIDDEN, Kind

VIDEOS = (".mp4", ".webm", ".mov", ".avi", ".mkv", ".m4v", ".mpg", ".mpeg")
MARKS = {".png": b"acTL", ".apng": b"acTL", ".webp": b"ANIM", ".avif": b"avis"}  # of a picture with several frames, among its first bytes
FIRST, END = 4096, b";"  # bytes; the last one of a GIF
SHORTEST, USUAL = 0.01, 0.1  # seconds: delays no longer than the one are shown as the other, as browsers do
UNEVEN = 0.25  # of the mean delay, by which one may differ where a film is even: containers round times to milliseconds
COLOURED = 12  # levels between the channels of a pixel that is not grey
NUMBERED = re.compile(r"(.*?)(\d+)(\.[^.]*)")
Read = Callable[[Path, "Film", Sequence[int], Look], list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Film:
    """What a file, or a folder of frames, says of a film: its first frame's header, and when each frame begins, in seconds from the first (T,).

    end  when the last one does;  first  the file's own time of the first;  timed  whether there are times at all: else a frame is one second
    """

    head: Header
    times: np.ndarray
    end: float
    first: float = 0.0
    timed: bool = True

    def __len__(self) -> int:
        return len(self.times)

    @property
    def rate(self) -> float:
        """Frames a second; of uneven ones, by their median delay; 0 where there are no times, or only one frame."""
        if not self.timed or len(self) < 2:
            return 0.0
        return 1 / (float(np.mean(self._delays)) if self.even else float(np.median(self._delays)))

    @property
    def even(self) -> bool:
        """Whether all delays are the same."""
        mean = float(np.mean(self._delays))
        return bool((np.abs(self._delays - mean) <= UNEVEN * mean).all())

    @property
    def _delays(self) -> np.ndarray:
        return np.diff(self.times, append=self.end)

    def numbers(self, rate: float | None = None, stride: int = 1) -> np.ndarray:
        """The frames that are taken: at `rate` a second that which is shown at each time; without, every `stride`-th, of an uneven film at its own rate."""
        if not self.timed or (rate is None and (self.even or not self.rate)):
            return np.arange(0, len(self), stride)
        step = 1 / rate if rate else stride / self.rate
        late = min(1e-3, step / 10)  # seconds that times may be rounded by
        at = np.arange(max(1, math.ceil((self.end - late) / step))) * step
        return np.searchsorted(self.times, at + late, "right") - 1


def film(path: str | Path) -> Film:
    """What a file or a folder says of its film. Raises Broken where it is none, Problem where PyAV is wanted and not there."""
    return _reader(Path(path))[0](Path(path))


def read(path: str | Path, about: Film, numbers: np.ndarray, look: Look) -> np.ndarray:
    """The frames of these numbers, which rise, (T, C, H, W) uint8. Raises Broken."""
    wanted, place = np.unique(numbers, return_inverse=True)
    return np.stack(_reader(Path(path))[1](Path(path), about, wanted.tolist(), look))[place]


def _reader(path: Path) -> tuple[Callable[[Path], Film], Read]:
    if path.is_dir():
        return _of_folder, _read_folder
    return (_of_video, _read_video) if path.suffix.lower() in VIDEOS else (_of_animation, _read_animation)


def moves(path: Path) -> bool:
    """Whether a picture's file holds several frames, or is a GIF that is cut short or cannot be read, which may have held some."""
    ending = path.suffix.lower()
    try:
        if ending == ".gif":
            with opened(path) as image:
                return getattr(image, "is_animated", False) or path.read_bytes()[-1:] != END
        if ending not in MARKS or not path.is_file():  # reading from a pipe would wait for ever
            return False
        with open(path, "rb") as file:
            return MARKS[ending] in file.read(FIRST)
    except Broken:
        return True
    except OSError:
        return False


def in_order(names: Sequence[str]) -> list[str]:
    """Names of pictures of one folder by their numbers, where there are several and they differ in these alone; else []."""
    found = [NUMBERED.fullmatch(os.path.basename(name)) for name in names]
    parts = {(match[1], match[3].lower()) if match else None for match in found}
    numbers = {int(match[2]): name for match, name in zip(found, names, strict=True) if match}
    return [numbers[i] for i in sorted(numbers)] if len(names) > 1 and len(parts) == 1 and None not in parts and len(numbers) == len(names) else []


def gathered(root: Path, files: list[str]) -> tuple[list[str], list[str]]:
    """(films by relative names, pictures that are none) of films and pictures below a folder: a folder whose pictures are numbered is one film."""
    films, none, folders = [], [], defaultdict(list)
    for name in files:
        films.append(name) if name.lower().endswith(VIDEOS) else folders[os.path.dirname(name)].append(name)
    for folder, names in folders.items():
        ordered = in_order(names)
        if ordered and not any(moves(root / ordered[i]) for i in (0, len(ordered) // 2, -1)):
            films.append(folder or ".")
            continue
        for name in names:
            (films if moves(root / name) else none).append(name)
    return films, none


CLIPS = Kind((*VIDEOS, *ENDINGS), "clips", gathered, "animated gif, webp, png and avif, folders of numbered frames, mp4, webm, mov, avi and mkv")


# Pillow's animations


def _of_animation(path: Path) -> Film:
    with opened(path) as image:
        (width, height), delays, coloured, alpha = image.size, [], False, image.has_transparency_data
        for i in range(getattr(image, "n_frames", 1)):
            image.seek(i)
            frame = image.copy()  # decodes it, and so what is wrong with it is found here
            coloured = coloured or _coloured(frame)
            delays.append(float(image.info.get("duration") or 0) / 1000)  # of a WebP known once it is decoded
    times = np.cumsum([0, *(USUAL if delay <= SHORTEST else delay for delay in delays)])
    return Film(Header(width, height, "RGB" if coloured else "L", 8, coloured, alpha, len(delays)), times[:-1], float(times[-1]))


def _coloured(frame: Image.Image) -> bool:
    pixels = np.asarray(frame.convert("RGB")).astype(np.int16)
    return bool((pixels.max(2) - pixels.min(2)).max() > COLOURED)


def _read_animation(path: Path, about: Film, numbers: Sequence[int], look: Look) -> list[np.ndarray]:
    found = []
    with opened(path) as image:
        for number in numbers:
            image.seek(number)
            found.append(look.of(image.copy()))
    return found


# folders of numbered frames


def _frames(folder: Path) -> list[Path]:
    names = [name for name in os.listdir(folder) if name.lower().endswith(ENDINGS) and not name.startswith(HIDDEN)]
    return [folder / name for name in in_order(names)]


def _of_folder(folder: Path) -> Film:
    files = _frames(folder)
    if not files:
        raise Broken("its pictures are not numbered")
    return Film(header(files[0]), np.arange(len(files), dtype=float), float(len(files)), timed=False)


def _read_folder(folder: Path, about: Film, numbers: Sequence[int], look: Look) -> list[np.ndarray]:
    files = _frames(folder)
    found = []
    for number in numbers:
        try:
            found.append(look(files[number]))
        except Broken as reason:
            raise Broken(f"{files[number].name}: {reason}") from reason
    return found


# PyAV's videos


def pyav(what: str, cure: str = "convert it to GIF or a folder of numbered frames") -> Any:
    """The library of that name. Raises Problem where it is not installed."""
    try:
        import av
    except (ImportError, OSError) as error:
        raise Problem(f"{what} needs PyAV; run pip install 'fromnoise[video]', or {cure}") from error
    return av


@contextmanager
def _video(path: Path) -> Iterator[Any]:
    """The open file and its first stream of pictures; whatever goes wrong is a Broken in few words."""
    av = pyav(path.name)
    try:
        if not path.is_file():
            raise Broken("it is no file")
        if path.stat().st_size == 0:
            raise Broken("the file is empty")
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise Broken("it holds no pictures")
            yield container
    except (av.error.FFmpegError, OSError, StopIteration) as error:
        raise Broken("it is cut short, or no video") from error


def _of_video(path: Path) -> Film:
    with _video(path) as container:
        stream = container.streams.video[0]
        base = float(stream.time_base)
        marks = sorted(_mark(packet) for packet in container.demux(stream) if packet.size and _mark(packet) is not None)
        if not marks:
            raise Broken("it holds no frames")
        container.seek(0)
        frame = next(iter(container.decode(stream)))
        width, height = _upright(frame).size
        colour = not str(frame.format.name).startswith("gray")
    times = np.array(marks, dtype=float) * base
    last = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    first = float(times[0])
    return Film(Header(width, height, "RGB" if colour else "L", 8, colour, False, len(times)), times - first, float(times[-1]) - first + last, first)


def _upright(frame: Any) -> Image.Image:
    """A decoded frame as a picture, turned as the camera was held."""
    turn = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}.get(round(frame.rotation) % 360)
    return frame.to_image() if turn is None else frame.to_image().transpose(turn)


def _read_video(path: Path, about: Film, numbers: Sequence[int], look: Look) -> list[np.ndarray]:
    wanted, found = [about.first + float(about.times[number]) - 1e-6 for number in numbers], list[np.ndarray]()
    with _video(path) as container:
        stream = container.streams.video[0]
        container.seek(int(wanted[0] / float(stream.time_base)), stream=stream)  # to a frame before it that needs no other
        frames = container.decode(stream)
        head = next(frames)
        if _mark(head) * float(stream.time_base) > wanted[0] + 2e-6:  # a file whose index is wrong is decoded from its beginning
            container.seek(0)
            frames = container.decode(stream)
            head = next(frames)
        for frame in chain([head], frames):
            while len(found) < len(wanted) and _mark(frame) * float(stream.time_base) >= wanted[len(found)]:
                found.append(look.of(_upright(frame)))
            if len(found) == len(wanted):
                return found
    raise Broken("it is cut short")


def _mark(frame: Any) -> int:
    """When a packet or frame is shown, in its stream's unit; AVI says when it is decoded alone, which is the same where frames lie in order."""
    return frame.pts if frame.pts is not None else frame.dts
