"""What the files that a user names ask of a model's conditions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..conditions.hints import holed
from ..data.files import pictures
from ..data.files.listing import listed
from ..errors import Usage
from ..model import Model


def images_of(model: Model, image: Path | None, mask: Path | None, n: int, data: Any = None) -> dict[str, Any]:
    """--image, a picture or a folder of them in turn, as the model's argument; with --mask, white where the picture is to be made anew.

    They are cut and laid on the background as the run's own pictures were (`data`, the node of its config).
    """
    if image is None and mask is None:
        return {}
    if "image" not in model.conditions or len(model.shape) != 3:
        raise Usage("this model is not made to be told pictures; leave --image and --mask out (--init starts from one)")
    if image is None:
        raise Usage("--mask says which part of --image is to be made anew; give that as well")
    condition = model.conditions["image"]
    channels = model.shape[0] if condition.hint else condition.shape[0]
    pictures = torch.stack([picture(file, channels, model.shape, data) for file in _files(image)[:n]])
    if mask is None:
        value = condition.made(pictures)
    elif condition.fills_holes:
        value = holed(pictures, hole(mask, model.shape, data)[None])
    channels = model.shape[0] if condition.hint else condition.width()
    given = torch.stack([picture(file, channels, model.shape, data) for file in _files(image)[:n]])
    if mask is None:
        value = condition.made(given)
    elif condition.hint in STATED:
        value = holed(given, hole(mask, model.shape, data)[None])
    else:
        raise Usage("this model was not trained to fill holes (image with hint: masked); leave --mask out")
    return {"image": value[torch.arange(n) % len(value)] if len(value) > 1 else value}


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        folder = listed(path, labels=False)
        return [folder.root / name for name in dict.fromkeys(folder.files)]
    if not path.exists():
        raise Usage(f"there is no picture {path}")
    return [path]


def hole(file: Path, shape: Sequence[int], data: Any = None) -> Tensor:
    """Where a mask's file is bright, (1, H, W) bool, cut and fitted as the run's pictures are; what is transparent is dark."""
    own = {**data, "background": "black"} if isinstance(data, Mapping) else {"background": "black"}
    return picture(file, 1, shape, own) > 0


def picture(file: Path, channels: int, shape: Sequence[int], data: Any = None) -> Tensor:
    """A picture's file (C, H, W) in [-1, 1], cut, fitted and laid on its background as those of the run's `data` (the node of its config)."""
    own = {key: data[key] for key in ("fit", "background") if key in data} if isinstance(data, Mapping) else {}
    return pictures.picture(file, channels, (shape[1], shape[2]), **own)
