"""What every dataset is: examples by index, as a dict of x and what is known about it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ..config import SEED
from ..device import memory
from ..draws import mixed
from ..errors import Problem, Usage, nearest
from .plan import Plan
from .units import Units

SPLITS = ("train", "test")
SHARE = 0.25  # of a device's memory that a set may take
PICTURES = ("x", "image", "source")  # the entries of a batch that are pictures


def check_split(split: str, held_out: float = 0.0) -> None:
    """Raises Usage unless `split` is one of SPLITS and `held_out` a share of the examples."""
    if split not in SPLITS:
        raise Usage(f"no split {split!r}; one of: {', '.join(SPLITS)}")
    if not 0 <= held_out < 1:
        raise Usage(f"held_out is the share of examples to hold out, from 0 to below 1, not {held_out:g}")


def check_left(count: int, whole: int, split: str, held_out: float) -> None:
    """Raises Problem where `held_out` of the whole leaves no example to a split."""
    if not count and whole == 1:
        raise Problem("one example cannot be both learnt and held out; add more, or train on it alone: data.held_out=0 train.held_out=0")
    if not count:
        cure = "raise data.held_out, or train without (train.held_out=0)" if split == "test" else "lower data.held_out, or add examples"
        raise Problem(f"held_out={held_out:g} of {whole} examples leaves none to {split}; {cure}")


def by_chance(name: str, count: int, split: str, held_out: float) -> np.ndarray:
    """The numbers of those of `count` examples that are of the split, in order; `name` is that of the set."""
    order = np.random.RandomState(mixed(name, 0) % 2**32).permutation(count)  # the legacy generator's stream never changes
    held = round(held_out * count) or int(held_out > 0 and count > 1)
    rows = np.sort(order[:held] if split == "test" else order[held:])
    check_left(len(rows), count, split, held_out)
    return rows


def scaled(x: Tensor) -> Tensor:
    """x as float32: bytes 0..255 become [-1, 1], floats stay as they are."""
    return x.float().div_(127.5).sub_(1) if x.dtype == torch.uint8 else x


def usual_medium(shape: Sequence[int]) -> str:
    """The name in figures.MEDIA of what examples of this shape, (C, *S) or (D,), usually are: three channels along one axis a cloud of points in space, one
    channel on three axes a volume."""
    known = {(2, 3): "clouds", (4, 1): "volumes"}.get((len(shape), *shape[:1]))
    return known or {1: "points", 2: "signals", 3: "pictures", 4: "videos"}.get(len(shape), "pictures")


class Dataset(ABC):
    """Examples by index: `get` gives a dict of x and, where the set knows them, label, text, image (the input of a translation) and source (like x)."""

    name: str
    shape: tuple[int, ...]  # (C, *S) of one example, or (D,) for points
    classes: tuple[str, ...]  # () without labels
    keys: tuple[str, ...]  # what a batch holds beside "x": a subset of ("label", "text", "image", "source")
    image_shape: tuple[int, ...] = ()  # (C', *S) of its image, where it has one
    in_memory: bool = False
    text: Sequence[str] | None = None  # all captions, where there are some
    medium: str | None = None  # how its examples are shown and written, a name of figures.MEDIA, where their shape does not say
    rate: float = 0.0  # frames a second of its clips; 0 where there are none, or they do not say
    units: Units | None = None  # of signals and volumes: what their channels are called, and how their values become those of x
    folder: str = ""  # the one that all examples lie in, where they have no labels and there is one
    left_out: Sequence[str] = ()  # what lies beside the examples and is not used, in words
    seen: Callable[[Tensor], Tensor] | None = None  # what judges see of examples (B, C, *S): pictures (B, C', H, W) in [-1, 1]; None: these themselves
    seen_as: str = ""  # what these are called

    @property
    def stamp(self) -> str:
        """What changes when a file does that a set reads as it goes; "" of one in memory."""
        return ""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, indices: Tensor) -> dict[str, Any]:
        """The examples at `indices` (B,) as they are stored: x uint8 or float32 (B, C, *S), label int64 (B,), text list of str, image and source like x."""

    def get(self, indices: Tensor) -> dict[str, Any]:
        """The examples at `indices` (B,): x float32 (B, C, *S) in [-1, 1] (points as they are), label int64 (B,), text list of str, image and source like x."""
        batch = self.take(indices)
        return {**batch, **{key: scaled(batch[key]) for key in PICTURES if key in batch}}

    def labels(self, indices: Tensor) -> Tensor:
        """The labels (B,) of the examples at `indices`, on the CPU."""
        return torch.cat([self.take(part)["label"].cpu() for part in indices.split(500)])

    def batches(self, size: int, steps: int, seed: int = 0) -> Iterator[Tensor]:
        """`steps` batches of x alone, (size, C, *S), shuffled anew every epoch."""
        plan = Plan(len(self), size, seed)
        for step in range(steps):
            yield self.get(plan(step))["x"]

    def to(self, device: torch.device | str) -> "Dataset":
        """This dataset with its tensors on `device`, where they are no more than SHARE of its memory; a set that streams from files stays as it is."""
        return self


class Wrapped(Dataset):
    """A set that is made of another, and has what that one has unless it says otherwise."""

    def __init__(self, base: Dataset):
        self.base, self.name, self.shape, self.classes, self.keys = base, base.name, base.shape, base.classes, base.keys
        self.image_shape, self.in_memory, self.text, self.left_out = base.image_shape, base.in_memory, base.text, base.left_out
        self.folder, self.medium, self.rate, self.units = base.folder, base.medium, base.rate, base.units
        self.seen, self.seen_as = base.seen, base.seen_as

    @property
    def stamp(self) -> str:
        return self.base.stamp

    def labels(self, indices: Tensor) -> Tensor:
        return self.base.labels(indices)

    def __len__(self) -> int:
        return len(self.base)

    def take(self, indices: Tensor) -> dict[str, Any]:
        return self.base.take(indices)

    def to(self, device: torch.device | str) -> Dataset:
        return self.base.to(device) if self.in_memory else self


@final
class Tensors(Dataset):
    """A dataset that lives in memory as one tensor x (N, C, *S), or (N, D) for points.

    x is uint8 (0..255), uint16 (kept as float32 in [-1, 1] with full precision) or float (taken as it is, [-1, 1] for pictures); label (N,) holds class numbers from
    0, text N strings, image (N, C', *S) the picture that each x is to be made of. NumPy arrays are fine too. Raises Problem where they do not fit.
    """

    in_memory = True

    def __init__(
        self, name: str, x: Tensor | np.ndarray, label: Tensor | np.ndarray | Sequence[int] | None = None,
        text: Sequence[str] | None = None, classes: Sequence[str] = (), image: Tensor | np.ndarray | None = None,
    ):  # fmt: skip
        self.name, self.x = name, _examples(name, x)
        self.label = None if label is None else _labels(name, label, len(self.x))
        self.text = None if text is None else list(text)
        if self.text is not None and len(self.text) != len(self.x):
            raise Problem(f"{name}: {len(self.x)} examples but {len(self.text)} texts; give one for each")
        self.image = None if image is None else _examples(name, image)
        self.shape, self.image_shape = tuple(self.x.shape[1:]), () if self.image is None else tuple(self.image.shape[1:])
        if self.image is not None and (len(self.image) != len(self.x) or self.image.shape[2:] != self.x.shape[2:]):
            raise Problem(f"{name}: x is {tuple(self.x.shape)} but image {tuple(self.image.shape)}; give one of the same size for each")
        self.keys = tuple(key for key in ("label", "text", "image") if getattr(self, key) is not None)
        highest = -1 if self.label is None else int(self.label.max())
        if classes and highest >= len(classes):
            raise Problem(f"{name}: a label is {highest}, but there are only {len(classes)} classes")
        self.classes = () if self.label is None else tuple(map(str, classes or range(highest + 1)))

    def __len__(self) -> int:
        return len(self.x)

    def take(self, indices: Tensor) -> dict[str, Any]:
        here, tensors = indices.to(self.x.device, non_blocking=True), {"x": self.x, "label": self.label, "image": self.image}
        text = {} if self.text is None else {"text": [self.text[i] for i in indices.tolist()]}
        return {key: value.index_select(0, here) for key, value in tensors.items() if value is not None} | text

    def to(self, device: torch.device | str) -> "Tensors":
        moved, tensors = copy(self), {key: getattr(self, key) for key in ("x", "label", "image") if getattr(self, key) is not None}
        most = memory(torch.device(device))
        if most is None or sum(tensor.nbytes for tensor in tensors.values()) <= SHARE * most:
            vars(moved).update({key: tensor.to(device) for key, tensor in tensors.items()})
        return moved


def _examples(name: str, x: Tensor | np.ndarray) -> Tensor:
    """x checked and brought to uint8 or float32."""
    x = torch.as_tensor(x)
    if x.ndim < 2 or x.numel() == 0:
        raise Problem(f"{name}: x is {tuple(x.shape)}; it must be (N, C, H, W), or (N, D) for points, and not empty")
    if x.dtype == torch.uint8:
        return x.contiguous()
    if x.dtype == torch.uint16:
        return x.float().div_(32767.5).sub_(1)
    if not x.is_floating_point():
        raise Problem(f"{name}: x is {str(x.dtype).removeprefix('torch.')}; give bytes as uint8, or floats in [-1, 1]")
    x = x.float().contiguous()
    low, high = (value.item() for value in x.aminmax())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Problem(f"{name}: x holds NaN or infinity; remove those examples")
    if x.ndim > 2 and max(abs(low), abs(high)) > 20:
        raise Problem(f"{name}: x reaches from {low:g} to {high:g}; give bytes as uint8, or floats scaled to [-1, 1]")
    return x


def _labels(name: str, label: Tensor | np.ndarray | Sequence[int], count: int) -> Tensor:
    label = torch.as_tensor(label)
    if label.shape != (count,):
        raise Problem(f"{name}: {count} examples but labels of shape {tuple(label.shape)}; give one number for each")
    if label.is_floating_point() or label.dtype == torch.bool or label.min() < 0:
        raise Problem(f"{name}: labels must be class numbers 0, 1, 2, …")
    return label.long()


@final
class InClasses(Wrapped):
    """A set in the classes of a model that has learnt others too: its labels by their names, or by the one folder of that name that all lie in; else without labels.

    Raises Usage where the model does not know a class.
    """

    def __init__(self, base: Dataset, classes: Sequence[str]):
        super().__init__(base)
        names = base.classes or ((base.folder,) if base.folder in classes else ())
        if unknown := [name for name in names if name not in classes]:
            raise Usage(f"the base knows no class {unknown[0]!r}{nearest(unknown[0], classes)}")
        self.classes, self.numbers = tuple(classes), torch.tensor([classes.index(name) for name in names], dtype=torch.int64)
        if names:
            self.keys = tuple(dict.fromkeys(("label", *base.keys)))
        else:
            self.left_out = (*base.left_out, "labels: there are none, so all is trained under 'no label'; data.label=NAME makes all one class")

    def labels(self, indices: Tensor) -> Tensor:
        return self.numbers[self.base.labels(indices) if "label" in self.base.keys else torch.zeros_like(indices)]

    def take(self, indices: Tensor) -> dict[str, Any]:
        batch = self.base.take(indices)
        own = batch.get("label", torch.zeros(len(indices), dtype=torch.int64))
        return batch | ({"label": self.numbers.to(own.device)[own]} if "label" in self.keys else {})

    def to(self, device: torch.device | str) -> "InClasses":
        moved = copy(self)
        moved.base = self.base.to(device)
        return moved


def in_classes(data: Dataset, classes: Sequence[str]) -> Dataset:
    """The set in these classes, where it has others; as it is where there are none."""
    return InClasses(data, classes) if classes and data.classes != tuple(classes) else data


@final
class Seen(Wrapped):
    """A set of what judges see of another's examples."""

    def __init__(self, base: Dataset, see: Callable[[Tensor], Tensor]):
        super().__init__(base)
        self.see = see
        self.shape, self.name, self.seen = tuple(see(torch.zeros(1, *base.shape)).shape[1:]), f"{base.name} {base.seen_as}", None

    def take(self, indices: Tensor) -> dict[str, Any]:
        batch = self.base.take(indices)
        return batch | {"x": self.see(scaled(batch["x"]))}

    def to(self, device: torch.device | str) -> "Seen":
        return Seen(self.base.to(device), self.see)


@final
class Between(Wrapped):
    """The examples of `x`, each with one of another set as its source, for alpha-blending between the two (`source: paired`).

    Which source goes with which x is chance, decided by `seed`: the i-th x goes with the i-th of the sources in a random order, which begins
    again where they are fewer. Labels, captions and images are those of x. Raises Usage where the two differ in shape.
    """

    def __init__(self, x: Dataset, source: Dataset, seed: SEED = 0):
        if x.shape != source.shape:
            both = f"x ({x.name}) has examples of shape {x.shape}, source ({source.name}) of {source.shape}"
            raise Usage(f"data: {both}; bring the two to one shape")
        super().__init__(x)
        self.source, self.seed = source, seed
        self.keys, self.in_memory = (*x.keys, "source"), x.in_memory and source.in_memory
        self.order = torch.randperm(len(source), generator=torch.Generator().manual_seed(mixed("between", seed, len(source))))

    def take(self, indices: Tensor) -> dict[str, Any]:
        return {**self.base.take(indices), "source": self.source.take(self.order[indices % len(self.source)])["x"]}

    def to(self, device: torch.device | str) -> "Between":
        return Between(self.base.to(device), self.source.to(device), self.seed)
