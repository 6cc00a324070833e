"""Your own signals: tables and arrays as examples of one length, each channel at the scale of the training examples."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, final

import numpy as np
import torch
from torch import Tensor

from ...device import check_memory
from ...errors import Problem, Usage, Within
from ..dataset import Tensors, Wrapped, by_chance, check_left, check_split
from ..units import Units
from .folder import NAMED, all_read, named
from .listing import Listing, parts_of
from .metadata import word
from .published import located
from .series import SIGNALS, Columns, Series, chosen, numbered, ordered, read

FARTHEST = 20  # that a value may be from 0 at the scale of training
Long = Annotated[int, Within(1, 2**20)]


@dataclass(frozen=True)
class Signal:
    """One signal of a file: x (C, L), its class, and the name of the file."""

    x: np.ndarray
    label: int | None
    name: str


@final
class Signals(Wrapped):
    """Your own signals: a folder of csv, tsv, txt (a row a time, a column a channel) or npy, npz ((L,), (C, L) or (N, C, L)) in class folders or none; or one file.

    An example is (C, length): a longer signal gives several, one every `stride` samples, as many as are whole; what is left over is cut off both ends alike.
    Each channel is learnt at the scale of the training examples, and what is sampled, plotted and measured has its own units again. Classes and splits are as in
    `folder`; of one file its signals are split by chance, and of one signal the last part is held out, by time.

    length: samples of an example; needed where the signals differ. stride: samples from one example of a signal to the next; as many as an example has where not
    given. columns: the channels by name, or number from 0; all where not given. normalize: what becomes 0 and 1 of each channel: std (mean, and one standard
    deviation above), range (the middle, and the maximum) or none. given: those of the channels that are not made but given, for a model with the condition image,
    which makes the others of them. decimal: the mark in a table's numbers. labels: false leaves classes out. label: the name of the
    one class that all are of. held_out: share of the files that are the test split (folders named train and test decide it instead). skip_broken: leave out
    files that cannot be read, and signals shorter than an example. Raises Problem where these are there, or channels differ, or one is constant.
    """

    def __init__(
        self, path: str, length: Long | None = None, stride: Long | None = None, columns: Columns | None = None,
        normalize: Literal["std", "range", "none"] = "std", decimal: Literal[".", ","] = ".", labels: bool = True, label: str | int | None = None,
        held_out: float = 0.05, skip_broken: bool = False, given: Columns | None = None, split: str = "train",
    ):  # fmt: skip
        check_split(split, held_out)
        if label is not None and not labels:
            raise Usage(f"data.label={label} names the class of all signals, and data.labels=false leaves classes out; say one of them")
        root, folders = located(path), labels and label is None
        whole, learnt, rows = parts_of(root, folders, split, held_out, SIGNALS)
        alone, work = len(whole) == 1, partial(read, columns=columns, decimal=decimal)
        found, lines = all_read(work, (rows, learnt, whole), skip_broken, SIGNALS)
        names = _channels(found, root)
        found = {file: ordered(one, names) for file, one in found.items()}
        classes, mine, theirs = whole.classes, _signals(rows, found, names), _signals(learnt, found, names)
        if alone:
            (only,) = found.values()
            if folders and only.label is not None:
                classes, numbers = numbered(only.label)
                mine = theirs = [Signal(signal.x, int(number), signal.name) for signal, number in zip(mine, numbers, strict=True)]
            mine, theirs = ([mine[i] for i in by_chance("signals", len(mine), part, held_out)] if len(mine) > 1 else mine for part in (split, "train"))
        size = length or _same_length([*mine, *theirs])
        mine, theirs = (_long(part, size, skip_broken) for part in (mine, theirs))
        step = stride or size
        cut = [windows(signal.x, size, step) for signal in mine]
        learn = [windows(signal.x, size, step) for signal in theirs]
        if alone and len(mine) == 1:
            cut, learn = ([_in_time(cut[0], part, held_out, -(-size // step) - 1)] for part in (split, "train"))
        check_memory(f"{sum(map(len, cut)):,} signals of {size:,} samples", 8 * len(names) * size * sum(map(len, cut)))
        units = measured(np.concatenate(learn), names, normalize)
        x = units.normalised(torch.from_numpy(np.concatenate(cut)))
        _check_far(x, units)
        number = [signal.label for signal, part in zip(mine, cut, strict=True) for _ in range(len(part))]
        if label is not None:
            number, classes = [0] * len(x), (word(str(label)),)
        known = folders and classes or label is not None
        beside = chosen(len(names), names, given or (), "data.given")
        made = [i for i in range(len(names)) if i not in beside]
        if not made:
            raise Usage("data.given names all channels, and leaves none to be made; name fewer")
        units = replace(units.of_channels(made), given=units.of_channels(beside) if beside else None)
        base = Tensors("signals", x[:, made], number if known else None, classes=classes if known else (), image=x[:, beside] if beside else None)
        base.medium, base.units, base.left_out = "signals", units, (*whole.left_out, *lines)
        base.folder = whole.folder if not base.classes else ""
        super().__init__(base)


def _channels(found: Mapping[Path, Series], root: Path) -> tuple[str, ...]:
    """The names of the channels that all signals have, numbers where they have none; raises Problem where they differ."""
    kinds = {file: tuple(sorted(one.names)) or (str(one.x.shape[1]),) for file, one in found.items()}
    most = Counter(kinds.values()).most_common(1)[0][0]
    if odd := [f"{word(file.name)}: {', '.join(kind)}" for file, kind in kinds.items() if kind != most]:
        there = f"{len(odd)} of {len(kinds)} signals do not have the channels of the others, {', '.join(most)} ({'; '.join(odd[:NAMED])})"
        raise Problem(f"{there}; choose by data.columns those that all have, or move them away")
    first = next(iter(found.values()))
    return first.names or tuple(map(str, range(first.x.shape[1])))


def _signals(listing: Listing, found: Mapping[Path, Series], names: Sequence[str]) -> list[Signal]:
    """Every signal of the files that could be read."""
    labels = listing.label or (None,) * len(listing)
    files = [(listing.root / name, label) for name, label in zip(listing.files, labels, strict=True) if listing.root / name in found]
    return [Signal(x, label, file.name) for file, label in files for x in found[file].x]


def _same_length(signals: Sequence[Signal]) -> int:
    """Samples of every signal; raises Problem where they differ."""
    lengths = sorted(signal.x.shape[1] for signal in signals)
    if not lengths:
        raise Problem("no signal of a split can be used; add some, or change data.held_out")
    if lengths[0] != lengths[-1]:
        raise Problem(f"the signals are {lengths[0]:,} to {lengths[-1]:,} samples long; set data.length to what an example is to have, as in {lengths[0]}")
    return lengths[0]


def _long(signals: Sequence[Signal], length: int, skip: bool) -> list[Signal]:
    """Those that are no shorter than an example; raises Problem where some are, and are not to be skipped, or none is left."""
    short = {signal.name: f"{signal.x.shape[1]} samples" for signal in signals if signal.x.shape[1] < length}
    kept = [signal for signal in signals if signal.x.shape[1] >= length]
    if short and not (skip and kept):
        cure = f"lower data.length={length}" + ", or set data.skip_broken=true" * bool(kept)
        raise Problem(f"{len(signals) - len(kept)} of {len(signals)} signals are shorter than {length} samples ({named(short)}); {cure}")
    if not kept:
        raise Problem("no signal of a split can be used; add some, or change data.held_out")
    return kept


def windows(x: np.ndarray, length: int, stride: int) -> np.ndarray:
    """All whole stretches of x (C, L) that are so long, one every `stride` samples, (N, C, length); what is left over is cut off both ends alike."""
    rest = x.shape[1] - length
    return np.lib.stride_tricks.sliding_window_view(x, length, axis=1)[:, rest % stride // 2 :: stride].swapaxes(0, 1)


def _in_time(cut: np.ndarray, split: str, held_out: float, overlap: int) -> np.ndarray:
    """Of the examples (N, C, L) of one signal those of the split: the last are held out, and the `overlap` before them, which share samples, are left out."""
    held = max(1, round(held_out * len(cut))) if held_out else 0
    first = len(cut) - held
    kept = cut[first:] if split == "test" else cut[: first - overlap * bool(held)] if first > overlap * bool(held) else cut[:0]
    if not len(kept) and len(cut) > 1:
        raise Problem(f"one signal makes {len(cut)} examples, too few to hold some out; lower data.length or data.stride, or train on all: data.held_out=0")
    check_left(len(kept), len(cut), split, held_out)
    return kept


def measured(x: np.ndarray, names: Sequence[str], normalize: str) -> Units:
    """The units of the channels of training examples (N, C, L); raises Problem where a channel is constant."""
    low, high = x.min((0, 2)), x.max((0, 2))
    if normalize != "none" and (still := [name for name, a, b in zip(names, low, high, strict=True) if a == b]):
        others = [name for name in names if name not in still]
        cure = f"leave it out: data.columns=[{','.join(others)}]" if others else "give signals that change"
        raise Problem(f"channel {still[0]} is constant ({low[list(names).index(still[0])]:g}) in all that is trained on; {cure}")
    one = np.ones_like(low)
    offset, scale = {"std": (x.mean((0, 2)), x.std((0, 2))), "range": ((low + high) / 2, (high - low) / 2), "none": (0 * one, one)}[normalize]
    return Units(tuple(names), tuple(offset.tolist()), tuple(scale.tolist()))


def _check_far(x: Tensor, units: Units) -> None:
    """Raises Problem where a channel goes far beyond the scale that is learnt."""
    far = x.abs().amax((0, 2))
    worst = int(far.argmax())
    if float(far[worst]) > FARTHEST or not math.isfinite(float(far[worst])):
        cure = "correct those values, or set data.normalize=range, which reaches to the largest" if units.offset[worst] else "set data.normalize=std"
        raise Problem(f"channel {units.names[worst]} reaches {float(far[worst]):.3g} times the scale that is learnt; {cure}")
