"""fromnoise: train, sample, evaluate and understand diffusion models, in code that reads like the papers.

The names that a notebook needs. Each is imported when it is first used, so that `fromnoise --help` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conditions import Label
    from .data import Tensors, checkerboard, moons, pinwheel, swiss_roll
    from .diffusion import Denoiser, Level, Table, clip, guided, loss, threshold
    from .diffusion.schedule import Cosine, Flow, Karras, Linear, LogitNormal, LogNormal, Shifted
    from .figures import gif, grid
    from .model import Model, Sampling, load
    from .networks import MLP, Context, Conv, TwoLinear, UNet
    from .samplers import ddim, ddpm, dpmpp_2m, heun, unipc, walk

__all__ = [
    "MLP", "Context", "Conv", "Cosine", "Denoiser", "Flow", "Karras", "Label", "Level", "Linear", "LogNormal", "LogitNormal", "Model",
    "Sampling", "Shifted", "Table", "Tensors", "TwoLinear", "UNet", "checkerboard", "clip", "ddim", "ddpm", "dpmpp_2m", "gif", "grid",
    "guided", "heun", "load", "loss", "moons", "pinwheel", "swiss_roll", "threshold", "unipc", "walk",
]  # fmt: skip
HOMES = {
    "conditions": "Label",
    "data": "Tensors checkerboard moons pinwheel swiss_roll",
    "diffusion": "Cosine Denoiser Flow Karras Level Linear LogNormal LogitNormal Shifted Table clip guided loss threshold",
    "figures": "gif grid",
    "model": "Model Sampling load",
    "networks": "MLP Context Conv TwoLinear UNet",
    "samplers": "ddim ddpm dpmpp_2m heun unipc walk",
}


def __getattr__(name: str) -> Any:
    for home, names in HOMES.items():
        if name in names.split():
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"fromnoise has no {name!r}")


def __dir__() -> list[str]:
    return __all__
