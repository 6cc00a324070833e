"""Your own clips: a folder of films as examples, all frames of a size, at a rate, of a length."""

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Annotated, Any, final

import numpy as np
import torch
from torch import Tensor

from ...device import memory
from ...errors import Problem, Usage, Within
from ...progress import console
from ..dataset import SHARE, Dataset, Wrapped, check_left, check_split
from .films import CLIPS, Film, film, read
from .folder import IN_MEMORY, in_threads, look_of, named, report_broken, without
from .header import Broken
from .listing import Listing, holds, split_listing
from .metadata import word
from .pictures import Look, check
from .published import located

ALIKE = 0.1  # rates that differ by no more than this share are one


@final
class Clips(Wrapped):
    """Your own clips: a folder of animated GIF, WebP or APNG, folders of numbered frames, or mp4, webm, mov, avi and mkv (extra `video`), in class folders or none.

    An example is (C, frames, H, W). A longer film gives several, one every `hop` frames, as many as are whole; what is left over is cut off both ends alike.
    Classes, captions and splits are as in `folder`; of one film alone, the last part is held out, by time.

    frames: how many a clip has. size: side, or [height, width]; needed where the films differ. rate: frames a second; each shows what its film does at that
    time, whatever the delays between its own. stride: instead, every n-th of the film's own frames, which are shown at its own rate. hop: frames from one clip of
    a film to the next; as many as a clip has where not given. fit: crop, pad or resize. channels: grey, rgb or rgba; grey or rgb, as the films are, where not
    given. background: under transparency and around padded frames. labels: false leaves them out. label: the name of the one class that all are of. held_out:
    share of the films that are the test split, by a hash of their names (folders named train and test decide it instead). memory: true keeps all frames decoded,
    false reads them as they are needed; by their size where not given. skip_broken: leave out films that cannot be read, or are shorter than a clip. Raises
    Problem where films cannot be read, are shorter, or differ in size, with the first few names and what to do.
    """

    def __init__(
        self, path: str, frames: Annotated[int, Within(1, 100_000)] = 16, size: int | Sequence[int] | None = None,
        rate: Annotated[float, Within(0.001, 1000)] | None = None, stride: Annotated[int, Within(1, 100_000)] = 1,
        hop: Annotated[int, Within(1, 100_000)] | None = None, fit: str = "crop", channels: str | None = None,
        background: str | Sequence[int] = "white", labels: bool = True, label: str | int | None = None, held_out: float = 0.05,
        memory: bool | None = None, skip_broken: bool = False, split: str = "train",
    ):  # fmt: skip
        check(fit, channels)
        check_split(split, held_out)
        if label is not None and not labels:
            raise Usage(f"data.label={label} names the class of all clips, and data.labels=false leaves classes out; say one of them")
        if rate is not None and stride != 1:
            raise Usage("data.rate takes the frames of times, data.stride every n-th frame; say one of them")
        root, folders = located(path), labels and label is None
        alone = holds(root, CLIPS) == 1
        whole, chosen = split_listing(root, folders, "train" if alone else split, 0.0 if alone else held_out, CLIPS)
        films, out = films_of(whole, skip_broken)
        if chosen.root != whole.root:  # a folder of held-out films
            own, more = films_of(chosen, skip_broken)
            out |= {f"{chosen.root.name}/{name}": reason for name, reason in more.items()}
        else:
            own = films
        numbers = {name: about.numbers(rate, stride) for name, about in own.items()}
        short = {name: f"{len(rows)} frames" for name, rows in numbers.items() if len(rows) < frames}
        _report_short(short, len(own), frames, rate, stride, skip_broken)
        chosen = without(chosen, {name for name in chosen.files if name not in own or name in short})
        if not len(chosen):
            raise Problem(f"no clip of the {split} split of {path} can be used; add some, or change data.held_out")
        rows, starts = _windows(chosen, numbers, frames, hop or frames)
        if alone:
            rows, starts = _in_time(rows, starts, frames, split, held_out)
        look = look_of([about.head for about in films.values()], size, fit, channels or _channels(films), background)
        listing = chosen.at(rows) if label is None else chosen.at(rows).of_class(label)
        kept = memory if memory is not None else look.bytes * sum(len(numbers[name]) for name in {*chosen.files}) < IN_MEMORY
        super().__init__((_Kept if kept else _Streamed)(listing, starts, frames, own, numbers, look, skip_broken))
        lines, self.rate = _rates(films, rate, stride)
        lines += [f"{len(out):,} clips are broken and skipped ({named(out)})"] if out else []
        lines += [f"{len(short):,} clips are shorter than {frames} frames and skipped ({named(short)})"] if short else []
        self.left_out, self.folder = (*whole.left_out, *lines, *self.base.left_out), whole.folder if not self.classes else ""


def films_of(listing: Listing, skip: bool) -> tuple[dict[str, Film], dict[str, str]]:
    """What each film says of itself, by name, and why the others cannot be read; raises Problem as `report_broken` does."""
    found, broken = in_threads(film, listing, "reading films")
    report_broken(broken, len(found), skip, CLIPS.words)
    return found, broken


def _report_short(short: Mapping[str, str], count: int, frames: int, rate: float | None, stride: int, skip: bool) -> None:
    """Raises Problem where films have fewer frames than a clip and are not to be skipped, or none has as many."""
    if not short or (skip and len(short) < count):
        return
    more = "raise data.rate" if rate else "lower data.stride" if stride > 1 else ""
    cures = [f"lower data.frames={frames}", *([more] if more else []), *(["set data.skip_broken=true"] if len(short) < count else [])]
    raise Problem(f"{len(short)} of {count} clips are shorter than {frames} frames ({named(short)}); {', or '.join(cures)}")


def _windows(listing: Listing, numbers: Mapping[str, np.ndarray], frames: int, hop: int) -> tuple[list[int], list[int]]:
    """(the row of the film in the listing, the first of its frames that are taken) of each clip."""
    found = []
    for row, name in enumerate(listing.files):
        rest = len(numbers[name]) - frames
        found += [(row, rest % hop // 2 + start) for start in range(0, rest + 1, hop)]
    return [row for row, _ in found], [start for _, start in found]


def _in_time(rows: list[int], starts: list[int], frames: int, split: str, held_out: float) -> tuple[list[int], list[int]]:
    """Of the clips of one film those of the split: the last ones are held out, and no others that share frames with these."""
    order = sorted({*starts})
    held = order[-max(1, round(held_out * len(order))) :] if held_out else []
    least = held[0] if held else max(order) + frames
    use = [start >= least if split == "test" else start + frames <= least for start in starts]
    check_left(sum(use), len(order), split, held_out)
    return [row for row, used in zip(rows, use, strict=True) if used], [start for start, used in zip(starts, use, strict=True) if used]


def _channels(films: Mapping[str, Film]) -> str:
    return "rgb" if any(about.head.colour for about in films.values()) else "grey"


def _rates(films: Mapping[str, Film], rate: float | None, stride: int) -> tuple[list[str], float]:
    """(what is to be known of the films' rates, in words; the clips' frames a second, 0 where that is not known)."""
    own = sorted(about.rate for about in films.values() if about.rate)
    without = sum(not about.timed for about in films.values())
    if rate is not None:
        return ([f"the times of {without:,} clips, numbered frames without any: all of them are taken"] if without else []), rate
    if not own:
        return [], 0.0
    middle = own[len(own) // 2]
    differ = own[-1] - own[0] > ALIKE * middle
    line = f"how fast each clip is: they have {own[0]:.3g} to {own[-1]:.3g} frames a second; data.rate={middle / stride:.3g} brings them to one"
    return [line] * differ, round(middle / stride, 3)


class _Windows(Dataset):
    """Clips as stretches of films' frames: `listing` has a row for each, which begins at `starts` of the numbers of frames that are taken of its film."""

    name = "clips"
    medium = "videos"

    def __init__(
        self, listing: Listing, starts: Sequence[int], frames: int, films: Mapping[str, Film], numbers: Mapping[str, np.ndarray], look: Look, skip: bool
    ):
        self.listing, self.starts, self.frames, self.films, self.numbers, self.look, self.skip = listing, starts, frames, films, numbers, look, skip
        self.skipped = set[str]()
        channels, *sides = look.shape
        self.shape, self.classes, self.text = (channels, frames, *sides), listing.classes, listing.text
        self.keys = tuple(key for key in ("label", "text") if getattr(listing, key) is not None)

    def __len__(self) -> int:
        return len(self.listing)

    def labels(self, indices: Tensor) -> Tensor:
        return torch.tensor(self.listing.label)[indices.cpu()]

    def known(self, rows: Sequence[int]) -> dict[str, Any]:
        """Labels and captions."""
        found = self.listing.at(rows)
        return ({} if found.label is None else {"label": torch.tensor(found.label)}) | ({} if found.text is None else {"text": list(found.text)})


@final
class _Kept(_Windows):
    """All frames decoded, each once, however many clips it is in."""

    in_memory = True

    def __init__(self, listing: Listing, starts: Sequence[int], frames: int, films: Mapping[str, Film], *rest: Any):
        super().__init__(listing, starts, frames, films, *rest)
        names = list(dict.fromkeys(listing.files))
        first = dict(zip(names, np.cumsum([0, *(len(self.numbers[name]) for name in names)]).tolist(), strict=False))
        x = np.empty((sum(len(self.numbers[name]) for name in names), *self.look.shape), np.uint8)

        def one(path: str) -> bool:
            name = os.path.relpath(path, listing.root).replace(os.sep, "/")
            x[first[name] : first[name] + len(self.numbers[name])] = read(path, films[name], self.numbers[name], self.look)
            return True

        found, broken = in_threads(one, listing, "decoding films")
        report_broken(broken, len(found), self.skip, CLIPS.words)
        rows = [i for i, name in enumerate(listing.files) if name in found]
        self.listing, self.starts = listing.at(rows), [starts[i] for i in rows]
        self.left_out = (f"{len(broken):,} clips are broken and skipped ({named(broken)})",) if broken else ()
        self.x = torch.from_numpy(x)
        self.place = torch.tensor([first[name] + start for name, start in zip(self.listing.files, self.starts, strict=True)])

    def take(self, indices: Tensor) -> dict[str, Any]:
        rows = (self.place[indices.cpu()][:, None] + torch.arange(self.frames)).flatten().to(self.x.device, non_blocking=True)
        x = self.x.index_select(0, rows).unflatten(0, (len(indices), self.frames)).transpose(1, 2).contiguous()
        return {"x": x} | self.known(indices.tolist())

    def to(self, device: torch.device | str) -> "_Kept":
        moved, most = copy(self), memory(torch.device(device))
        if most is None or self.x.nbytes <= SHARE * most:
            moved.x = self.x.to(device)
        return moved


@final
class _Streamed(_Windows):
    """Frames read from their files as they are needed."""

    @property
    def stamp(self) -> str:
        found = hashlib.sha256(repr((self.listing, self.starts, self.frames, self.look)).encode("utf-8", "surrogateescape"))
        for name in dict.fromkeys(self.listing.files):
            found.update(self.numbers[name].tobytes())
            place = self.listing.root / name
            for file in sorted(place.iterdir()) if place.is_dir() else [place]:
                about = os.stat(file)
                found.update(f"{about.st_size} {about.st_mtime_ns} ".encode())
        return found.hexdigest()[:16]

    def take(self, indices: Tensor) -> dict[str, Any]:
        with warnings.catch_warnings(action="ignore"):
            rows, clips = zip(*(self._clip(i) for i in indices.tolist()), strict=True)
        return {"x": torch.from_numpy(np.stack(clips)).transpose(1, 2).contiguous()} | self.known(rows)

    def _clip(self, row: int) -> tuple[int, np.ndarray]:
        """Clip `row` (T, C, H, W), or the next one that can be read where broken ones are to be skipped."""
        last = ""
        for i in (n % len(self) for n in range(row, row + len(self) if self.skip else row + 1)):
            name = self.listing.files[i]
            try:
                return i, read(self.listing.root / name, self.films[name], self.numbers[name][self.starts[i] :][: self.frames], self.look)
            except Broken as reason:
                last = f"{name}: {reason}"
                if self.skip and name not in self.skipped:
                    self.skipped.add(name)
                    console(stderr=True).print(f"left out: {word(last)}", style="yellow", soft_wrap=True)
        raise Problem(f"a clip in {self.listing.root} cannot be read ({last}); remove it" + ("" if self.skip else ", or set data.skip_broken=true"))
