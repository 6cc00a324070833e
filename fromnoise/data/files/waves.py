"""A file of sound: what its header says, and its samples. Wav of whole numbers by the standard library, all else by soundfile."""

import struct
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Problem
from .header import Broken

ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
DAMAGE = (wave.Error, EOFError, OSError, struct.error, ValueError, RuntimeError)  # of wave, and of soundfile


@dataclass(frozen=True)
class Wave:
    """What a file of sound says of itself: samples a second, channels, how many samples of each."""

    rate: int
    channels: int
    frames: int


def soundfile(what: str) -> Any:
    """The library of that name. Raises Problem where it is not installed."""
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise Problem(f'{what} needs soundfile; run pip install "fromnoise[sound]", or convert it to wav of 16 bits') from error
    return soundfile


def about(path: str | Path) -> Wave:
    """The header of a file. Raises Broken where there is none, or nothing follows it."""
    path = Path(path)
    with _damage():
        if _plain(path):
            with wave.open(str(path)) as file:
                found = Wave(file.getframerate(), file.getnchannels(), file.getnframes())
        else:
            info = soundfile(path.name).info(str(path))
            found = Wave(info.samplerate, info.channels, info.frames)
    if not found.frames or not found.channels or not found.rate:
        raise Broken("it is empty")
    return found


def read(path: str | Path) -> np.ndarray:
    """The samples of a file, (channels, L) float32, full scale being 1. Raises Broken where they are not all there, not finite, or all silent."""
    path = Path(path)
    with _damage():
        x = _whole(path) if _plain(path) else soundfile(path.name).read(str(path), dtype="float32", always_2d=True)[0].T
    if not np.isfinite(x).all():
        raise Broken("it holds NaN or infinity")
    if not x.any():
        raise Broken("it is all silence")
    return np.ascontiguousarray(x)


@contextmanager
def _damage() -> Iterator[None]:
    """Raises Broken where a reader fails."""
    try:
        yield
    except Problem:
        raise
    except DAMAGE as error:
        raise Broken("it is cut short, or no such sound") from error


def _plain(path: Path) -> bool:
    """Whether it is wav of whole numbers, as the standard library reads it."""
    if path.suffix.lower() != ".wav":
        return False
    try:
        with wave.open(str(path)):
            return True
    except wave.Error as error:
        if "unknown format" in str(error):  # of floats, or packed
            return False
        raise


def _whole(path: Path) -> np.ndarray:
    """Samples of 8, 16, 24 or 32 bits."""
    with wave.open(str(path)) as file:
        width, channels, frames = file.getsampwidth(), file.getnchannels(), file.getnframes()
        content = file.readframes(frames)
    if len(content) != width * channels * frames:
        raise Broken("it is cut short")
    if width == 1:  # of wav alone these have no sign
        x = (np.frombuffer(content, np.uint8).astype(np.float32) - 128) / 128
    else:
        padded = np.zeros((channels * frames, 4), np.uint8)  # in the upper bytes of 32 bits
        padded[:, 4 - width :] = np.frombuffer(content, np.uint8).reshape(-1, width)
        x = (padded.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
    return x.reshape(-1, channels).T
