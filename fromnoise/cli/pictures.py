"""Picture files that a user names, as tensors."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import figures
from ..conditions import Control
from ..conditions.hints import holed
from ..config import SEED, coerce
from ..data.dataset import scaled
from ..data.files import films, series
from ..data.files.header import Broken
from ..data.files.listing import listed
from ..data.files.pictures import CHANNELS, Look
from ..data.files.pictures import picture as read
from ..data.files.signals import windows
from ..errors import Problem, Usage
from ..model import Model
from . import words


def write_beside(made: Tensor, out: Path, *beside: Tensor) -> None:
    """The results alone in an archive or a folder; in a picture, what they were made from on the left."""
    made = made.float().cpu()
    print(figures.save(made, out) if out.suffix in ("", ".npz") else figures.write(figures.edited(made, *beside), out))


def noises_of(model: Model, seeds: str, rows: int) -> tuple[Tensor, list[str]]:
    """The noises (k, rows, C, *S) of k seeds with commas, and their names."""
    found = words.numbers(seeds, "--seeds are whole numbers with commas, such as 0,1", kind=int)
    found = [coerce(seed, SEED, "a seed", {}) for seed in found]
    return torch.stack([model.start(rows, seed) for seed in found]), [f"seed {seed}" for seed in found]


def picture(file: Path, channels: int, shape: Sequence[int], data: Any = None) -> Tensor:
    """A picture's file (C, H, W) in [-1, 1], cut, fitted and laid on its background as those of the run's `data` (the node of its recipe)."""
    own = {key: data[key] for key in ("fit", "background") if key in data} if isinstance(data, Mapping) else {}
    return read(file, channels, (shape[-2], shape[-1]), **own)


def clip(path: Path, shape: Sequence[int], data: Any = None) -> Tensor:
    """The frames of a film's file, or of a folder of numbered ones, (C, T, H, W) in [-1, 1], at the rate and laid out as those of the run's `data`."""
    if len(shape) != 4:
        raise Usage(f"this model makes examples of shape {tuple(shape)}, no clips; name a held-out example to go on from (--example)")
    own = data if isinstance(data, Mapping) else {}
    channels = next((name for name, (_, count) in CHANNELS.items() if count == shape[0]), "rgb")
    look = Look((shape[-2], shape[-1]), channels, **{key: own[key] for key in ("fit", "background") if key in own})
    try:
        about = films.film(path)
        rows = about.numbers(own.get("rate"), own.get("stride", 1)) if own.get("name") == "clips" else about.numbers()
        return scaled(torch.from_numpy(films.read(path, about, rows, look)).transpose(0, 1))
    except Broken as reason:
        raise Problem(f"{path} is no clip that can be read: {reason}") from reason


def signals(model: Model, path: Path, channels: int, data: Any, n: int) -> Tensor:
    """Up to n stretches of a file of signals, of the model's length and one after another, (k, C, L), as its network learnt them."""
    own, units, length = data if isinstance(data, Mapping) else {}, model.units, model.shape[1]
    given = units.given if units and units.given else units
    names = [int(name) if name.isdecimal() else name for name in given.names] if given else None
    try:
        x = series.read(str(path), names, own.get("decimal", ".")).x
    except Broken as reason:
        raise Problem(f"{path} holds no signals that can be read: {reason}") from reason
    if x.shape[1] != channels or x.shape[2] < length:
        raise Usage(f"{path} has {x.shape[1]} channels of {x.shape[2]:,} samples, and this model is given {channels} of {length:,}; give those")
    cut = torch.from_numpy(np.concatenate([windows(signal, length, length) for signal in x]))[:n]
    return given.normalised(cut) if given else cut.float()


def pictures(model: Model, path: Path, channels: int, data: Any, n: int) -> Tensor:
    """A picture, or up to n of a folder, (k, C, H, W)."""
    files = [path]
    if path.is_dir():
        folder = listed(path, labels=False)
        files = [folder.root / name for name in dict.fromkeys(folder.files)]
    return torch.stack([picture(file, channels, model.shape, data) for file in files[:n]])


READERS: dict[int, Callable[[Model, Path, int, Any, int], Tensor]] = {2: signals, 3: pictures}  # of --image, by the axes of an example and its channels


def images_of(model: Model, image: Path | None, mask: Path | None, n: int, data: Any = None) -> dict[str, Any]:
    """--image, a picture or a folder of them in turn, as the model's condition; with --mask, white where the picture is to be made anew."""
    if image is None and mask is None:
        return {}
    if "image" not in model.conditions or len(model.shape) not in READERS:
        raise Usage("this model has no pictures as condition; leave --image and --mask out (--init starts from one)")
    if image is None:
        raise Usage("--mask says which part of --image is to be made anew; give that as well")
    condition = model.conditions["image"]
    value = READERS[len(model.shape)](model, image, model.shape[0] if condition.hint else condition.shape[0], data, n)
    if mask is None:
        value = condition.made(value)
    elif condition.known_of:
        value = holed(value, hole(mask, model.shape, data))
    else:
        raise Usage("this model was not trained to fill holes (image with hint: masked); leave --mask out")
    return {"image": value[torch.arange(n) % len(value)] if len(value) > 1 else value}


def hole(file: Path, shape: Sequence[int], data: Any = None) -> Tensor:
    """Where a mask's file is bright, (1, 1, H, W) bool, cut and fitted as the run's pictures are; what is transparent is dark."""
    return picture(file, 1, shape, {**(data if isinstance(data, Mapping) else {}), "background": "black"})[None] > 0


def mask(text: str, shape: Sequence[int], data: Any = None) -> Tensor:
    """1 where a box X,Y,W,H or the bright part of a picture file says "make new", (1, 1, H, W)."""
    if box := words.box(text, shape[-1], shape[-2]):
        made = torch.zeros(1, 1, *shape[-2:])
        made[..., box[0], box[1]] = 1
    elif not (made := hole(Path(text), shape, data).float()).any():
        raise Usage(f"{text} is dark everywhere, so nothing is to be made new; draw that part white")
    return made


def read_hint(file: Path, condition: Control) -> Tensor:
    """A picture file as a control's hint (C', H, W); raises Usage where it has another size."""
    if len(condition.shape) != 3:
        raise Usage(f"the hint {condition.key} is of shape {condition.shape}, no picture that a file could hold; use Model.sample")
    channels, height, width = condition.shape
    made = read(file, channels)
    if made.shape[1:] != (height, width):
        cure = f"make one with `fromnoise data hint PICTURE {condition.hint or 'HINT'} --size {width}x{height}`"
        raise Usage(f"{file} is {made.shape[2]}x{made.shape[1]}, the hint {condition.key} {width}x{height}; {cure}")
    return made
