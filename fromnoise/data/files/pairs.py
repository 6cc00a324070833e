"""Pictures in pairs, an input and what is to be made of it, as a dataset."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, final

from torch import Tensor

from ...errors import Problem, Usage
from ..dataset import Tensors, Wrapped
from .folder import IN_MEMORY, NAMED, Streamed, decoded, headers_of, look_of
from .listing import Listing, partners, split_listing
from .pictures import Header, check, half_box

OTHER = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}


@final
class Pairs(Wrapped):
    """Your own pairs of pictures, for translation: two folders with the same file names, or one whose pictures hold both side by side.

    image, target: the folders, under `path`, of the inputs and of what is to be made of them; their names agree up to the endings. halves:
    instead, which half of every picture is the input, left, right, top or bottom. channels are the target's, image_channels the input's. The
    rest is as in `folder`: labels and captions are the target's. Input and target are cut and mirrored alike.
    Raises Problem where pictures have no counterpart, cannot be read, or differ in size, with the first few names and what to do.
    """

    def __init__(
        self, path: str, image: str | None = None, target: str | None = None,
        halves: Literal["left", "right", "top", "bottom"] | None = None, size: int | Sequence[int] | None = None, fit: str = "crop",
        channels: str | None = None, image_channels: str | None = None, background: str | Sequence[int] = "white", labels: bool = True,
        held_out: float = 0.05, memory: bool | None = None, split: str = "train",
    ):  # fmt: skip
        for each in (channels, image_channels):
            check(fit, each)
        if (image is None) != (target is None) or (image is None) == (halves is None):
            two, one = "data.image=INPUTS data.target=TARGETS, under data.path", "data.halves=left is the input"
            raise Usage(f"pairs are two folders ({two}), or halves of each picture ({one})")
        root, half = Path(path).expanduser(), halves and OTHER[halves]
        whole, chosen = split_listing(root / (target or ""), labels, split, held_out)
        theirs, mine = whole, chosen  # both are halves of the same pictures
        if image is not None and target is not None:
            theirs, mine = (partners(listing, root / image / listing.root.relative_to(root / target)) for listing in (whole, chosen))
        ones, others = _headers(whole, half), _headers(theirs, halves)
        _check_sizes(whole.files, ones, others, size, fit)
        look = replace(look_of(ones, size, fit, channels, background), half=half)
        look_image = replace(look_of(others, size, fit, image_channels, background), half=halves)
        if memory if memory is not None else (look.bytes + look_image.bytes) * len(chosen) < IN_MEMORY:
            x = decoded(chosen, look, None)
            super().__init__(Tensors("pairs", x.x, x.label, x.text, x.classes, decoded(mine, look_image, None).x))
        else:
            super().__init__(_Streamed(Streamed(chosen, look, None), Streamed(mine, look_image, None)))


def _headers(listing: Listing, half: str | None) -> list[Header]:
    headers, _ = headers_of(listing, None)
    if half is None:
        return headers
    boxes = [half_box(half, h.width, h.height) for h in headers]
    return [replace(h, width=right - left, height=low - top) for h, (left, top, right, low) in zip(headers, boxes, strict=True)]


def _check_sizes(names: Sequence[str], ones: Sequence[Header], others: Sequence[Header], size: Any, fit: str) -> None:
    """Raises Problem where the two of a pair differ in size, or, being brought to one, in the shape that would be cut differently."""

    def differ(a: Header, b: Header) -> bool:
        if size is None:
            return (a.width, a.height) != (b.width, b.height)
        # the same shape but for what rounding to whole pixels does
        return fit != "resize" and abs(a.width * b.height - b.width * a.height) > max(a.width, a.height, b.width, b.height)

    bad = [(name, a, b) for name, a, b in zip(names, ones, others, strict=True) if differ(a, b)]
    if bad:
        named = ", ".join(f"{name}: {a.width}x{a.height} from {b.width}x{b.height}" for name, a, b in bad[:NAMED])
        more = ", …" if len(bad) > NAMED else ""
        what, cure = ("shape", "cut them alike, or set data.fit=resize") if size else ("size", "say which one they get, as in data.size=64")
        raise Problem(f"{len(bad)} of {len(names)} targets differ from their inputs in {what} ({named}{more}); {cure}")


class _Streamed(Wrapped):
    """Pairs read from their files as they are needed."""

    def __init__(self, target: Streamed, image: Streamed):
        super().__init__(target)
        self.image, self.image_shape, self.name, self.keys = image, image.shape, "pairs", (*target.keys, "image")

    def take(self, indices: Tensor) -> dict[str, Any]:
        return {**self.base.take(indices), "image": self.image.take(indices)["x"]}
