"""Sounds as examples: a folder of recordings, as waveforms of one length."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, final

import numpy as np
from torch import Tensor

from ...device import check_memory
from ...errors import Problem, Usage, Within
from ...networks.layers.spectrum import FLOOR, log_mel, mel_filters
from ..dataset import Tensors, Wrapped, check_split
from .folder import NAMED, in_threads, named, report_broken, without
from .header import Broken
from .listing import Listing, by_name, listed, split_listing
from .metadata import word
from .published import located
from .walk import Kind
from .waves import ENDINGS, Wave, about, read

SOUNDS = Kind(ENDINGS, "sounds")
BLOCKS = 50  # a second, whose loudness tells sound from silence
BANDS, HALF_WINDOW = 64, 0.016  # seconds: of the spectrograms that judges of sounds see


@final
class Sounds(Wrapped):
    """Your own recordings: a folder of wav files (flac, ogg, mp3 and aiff too with the extra `sound`) in class sub-folders or none.

    An example is a waveform (channels, seconds * rate) in [-1, 1]; shorter files have silence behind, of longer ones the middle is kept.

    rate: samples a second, the files' own. seconds: how long an example is. resample: bring files of another rate to this one, by scipy, which is in the extra.
    mono: the mean of several channels. trim: cut silence off both ends, all that is so many dB below the loudest part. loudness: bring each to this RMS in dB
    of full scale, as far as it does not clip. label_from: a regular expression whose group, or all that it matches in a file's name, is its class.
    test_names: a regular expression; files with it in their names are the test split. held_out: share of the sounds that are the test split where that is not
    given (folders named train and test decide it instead). skip_broken: leave out files that hold no sound.
    Raises Problem where files cannot be read, or differ in rate or channels, with the first few names and what to do.
    """

    def __init__(
        self, path: str, rate: Annotated[int, Within(100, 1_000_000)], seconds: Annotated[float, Within(0.001, 3600)] = 1.0, resample: bool = False,
        mono: bool = False, trim: Annotated[float, Within(1, 120)] | None = None, loudness: Annotated[float, Within(-80, 0)] | None = None,
        labels: bool = True, label_from: str | None = None, test_names: str | None = None, held_out: float = 0.05, skip_broken: bool = False,
        split: str = "train",
    ):  # fmt: skip
        whole, chosen = _listings(path, labels, label_from, test_names, split, held_out)
        headers, broken = _headers(whole, skip_broken)
        if chosen.root != whole.root:  # a folder of held-out sounds
            own, broken = _headers(chosen, skip_broken)
            headers |= {f"{chosen.root.name}/{name}": header for name, header in own.items()}
        chosen = without(chosen, broken)
        if not len(chosen):
            raise Problem(f"no sound of the {split} split of {path} can be read; replace them")
        shape = (_channels(headers, mono), max(1, round(seconds * rate)))
        _check_rates(headers, rate, resample)
        check_memory(f"{len(chosen):,} sounds of {seconds:g} s", 4 * math.prod(shape) * len(chosen))
        found, unread = _waveforms(chosen, shape, rate, trim, loudness, skip_broken)
        broken, chosen = broken | unread, without(chosen, unread)
        long = [length for _, length in found.values() if length > shape[1]]
        lines = [f"{len(long):,} sounds are longer than {seconds:g} s (up to {max(long) / rate:.2g} s): their middle is kept"] if long else []
        lines += [f"{len(broken):,} sounds cannot be read and are skipped ({named(broken)})"] if broken else []
        x = np.stack([found[name][0] for name in chosen.files])
        base = Tensors("sound", x, chosen.label if labels else None, chosen.text, chosen.classes if labels else ())
        base.medium = "sound"
        base.left_out, base.seen, base.seen_as = (*whole.left_out, *lines), partial(spectrogram, rate), "log-mel"
        super().__init__(base)


def spectrogram(rate: int, x: Tensor) -> Tensor:
    """What judges see of sounds (B, C, L): log-mel spectrograms (B, C, BANDS, T), -100 to 0 dB as -1 to 1."""
    hop = max(2, round(HALF_WINDOW * rate))
    return 1 - 2 * log_mel(x, mel_filters(rate, BANDS, 2 * hop), 2 * hop, hop).clamp(max=0) / math.log(FLOOR)


def _listings(path: str, labels: bool, label_from: str | None, test_names: str | None, split: str, held_out: float) -> tuple[Listing, Listing]:
    """(all sounds, those of the split), in classes."""
    if label_from is not None and not labels:
        raise Usage("data.label_from says where classes come from, and data.labels=false leaves them out; say one of them")
    folders = labels and label_from is None
    if test_names is None:
        whole, chosen = split_listing(located(path), folders, split, held_out, SOUNDS)
    else:
        check_split(split)
        whole = listed(located(path), folders, kind=SOUNDS)
        held = [bool(pattern("test_names", test_names).search(name)) for name in whole.files]
        if len({*held}) < 2:
            which = "all" if held[0] else "none"
            raise Problem(f"data.test_names={test_names} is in {which} of the names of {len(held)} sounds, such as {word(whole.files[0])}; change it")
        chosen = whole.at([i for i, out in enumerate(held) if out == (split == "test")])
    if label_from is not None:
        found = pattern("label_from", label_from)
        whole = by_name(whole, found, SOUNDS)
        chosen = by_name(chosen, found, SOUNDS, whole.classes)
    return whole, chosen


def pattern(setting: str, text: str) -> re.Pattern[str]:
    """A regular expression; raises Usage where it is none."""
    try:
        return re.compile(text)
    except re.error as error:
        raise Usage(f"data.{setting}={text} is no regular expression: {error}") from error


def _headers(listing: Listing, skip: bool) -> tuple[dict[str, Wave], dict[str, str]]:
    found, broken = in_threads(about, listing, "reading headers of sounds")
    report_broken(broken, len(found), skip, SOUNDS.words)
    return found, broken


def _channels(headers: Mapping[str, Wave], mono: bool) -> int:
    """How many all have; raises Problem where they differ and are not to be mixed."""
    counts = Counter(1 if mono else header.channels for header in headers.values())
    if len(counts) > 1:
        most = counts.most_common(1)[0][0]
        odd = [f"{name}: {header.channels}" for name, header in headers.items() if header.channels != most]
        raise Problem(f"the sounds have different numbers of channels, most of them {most} ({_few(odd)}); set data.mono=true to mix them")
    return next(iter(counts))


def _check_rates(headers: Mapping[str, Wave], rate: int, resample: bool) -> None:
    """Raises Problem where a file has another rate and is to keep it."""
    odd = [f"{name}: {header.rate}" for name, header in headers.items() if header.rate != rate]
    if odd and not resample:
        own = Counter(header.rate for header in headers.values())
        only = f", or data.rate={next(iter(own))}, which they all have" if len(own) == 1 else ""
        raise Problem(f"{len(odd)} of {len(headers)} sounds are not of {rate} Hz ({_few(odd)}); set data.resample=true{only}")


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(word, names[:NAMED])) + (", …" if len(names) > NAMED else "")


def _waveforms(
    listing: Listing, shape: tuple[int, int], rate: int, trim: float | None, loudness: float | None, skip: bool
) -> tuple[dict[str, tuple[np.ndarray, int]], dict[str, str]]:
    """(the waveform (C, L) of each file by its name, and how long it was; why the others have none)."""

    def one(file: str) -> tuple[np.ndarray, int]:
        x, own = read(file), about(file).rate
        x = x.mean(0, keepdims=True) if shape[0] == 1 else x
        x = x if own == rate else resampled(x, own, rate)
        x = x if trim is None else trimmed(x, rate // BLOCKS, trim)
        if not x.any():
            raise Broken("its channels cancel each other")
        return placed(x if loudness is None else levelled(x, loudness), shape[1]), x.shape[1]

    found, broken = in_threads(one, listing, "reading sounds")
    report_broken(broken, len(found), skip, SOUNDS.words)
    return found, broken


def resampled(x: np.ndarray, own: int, rate: int) -> np.ndarray:
    """x (C, L) at another rate: a band-limited interpolation of many phases."""
    try:
        from scipy.signal import resample_poly
    except ImportError as error:
        raise Problem('data.resample needs scipy; run pip install "fromnoise[sound]", or convert the files') from error
    shared = math.gcd(own, rate)
    return resample_poly(x, rate // shared, own // shared, axis=1).astype(np.float32)


def trimmed(x: np.ndarray, block: int, below: float) -> np.ndarray:
    """x (C, L) from the first to the last block whose RMS is at most `below` dB under the loudest one's."""
    block = max(1, block)
    power = np.add.reduceat(np.square(x, dtype=np.float64).sum(0), np.arange(0, x.shape[1], block))
    power[-1] *= block / (x.shape[1] - block * (len(power) - 1))  # the last block is shorter
    loud = np.flatnonzero(power >= power.max() * 10 ** (-below / 10))
    return x[:, loud[0] * block : (loud[-1] + 1) * block]


def levelled(x: np.ndarray, loudness: float) -> np.ndarray:
    """x (C, L) at an RMS of so many dB of full scale, or as near to it as leaves its peak at 1."""
    rms = math.sqrt(float(np.square(x, dtype=np.float64).mean()))
    return (x * min(10 ** (loudness / 20) / rms, 1 / float(np.abs(x).max()))).astype(np.float32)


def placed(x: np.ndarray, length: int) -> np.ndarray:
    """The middle of x (C, L), or x with silence behind, so long; in [-1, 1]."""
    first = max(0, (x.shape[1] - length) // 2)
    x = x[:, first : first + length].clip(-1, 1)
    return np.pad(x, ((0, 0), (0, length - x.shape[1])))
