"""fromnoise: train, sample, evaluate and understand diffusion models, in code that reads like the papers.

The names that a notebook needs. Each is imported when it is first used, so that `fromnoise --help` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conditions import Label as Label
    from .data import Tensors as Tensors
    from .data import checkerboard as checkerboard
    from .data import moons as moons
    from .data import pinwheel as pinwheel
    from .data import swiss_roll as swiss_roll
    from .diffusion import Cosine as Cosine
    from .diffusion import Denoiser as Denoiser
    from .diffusion import Flow as Flow
    from .diffusion import Karras as Karras
    from .diffusion import Level as Level
    from .diffusion import Linear as Linear
    from .diffusion import LogitNormal as LogitNormal
    from .diffusion import LogNormal as LogNormal
    from .diffusion import Shifted as Shifted
    from .diffusion import Table as Table
    from .diffusion import clip as clip
    from .diffusion import guided as guided
    from .diffusion import loss as loss
    from .diffusion import threshold as threshold
    from .figures import gif as gif
    from .figures import grid as grid
    from .model import Model as Model
    from .model import Sampling as Sampling
    from .model import load as load
    from .networks import MLP as MLP
    from .networks import Context as Context
    from .networks import Conv as Conv
    from .networks import TwoLinear as TwoLinear
    from .networks import UNet as UNet
    from .samplers import ddim as ddim
    from .samplers import ddpm as ddpm
    from .samplers import dpmpp_2m as dpmpp_2m
    from .samplers import heun as heun
    from .samplers import unipc as unipc
    from .samplers import walk as walk

HOMES = {
    "conditions": ("Label",),
    "data": ("Tensors", "checkerboard", "moons", "pinwheel", "swiss_roll"),
    "diffusion": (
        "Cosine",
        "Denoiser",
        "Flow",
        "Karras",
        "Level",
        "Linear",
        "LogNormal",
        "LogitNormal",
        "Shifted",
        "Table",
        "clip",
        "guided",
        "loss",
        "threshold",
    ),
    "model": ("Model", "Sampling", "load"),
    "networks": ("MLP", "Context", "Conv", "TwoLinear", "UNet"),
    "samplers": ("ddim", "ddpm", "dpmpp_2m", "heun", "unipc", "walk"),
    "figures": ("gif", "grid"),
}
__all__ = sorted(name for names in HOMES.values() for name in names)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    for home, names in HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"fromnoise has no {name!r}")


def __dir__() -> list[str]:
    return __all__
