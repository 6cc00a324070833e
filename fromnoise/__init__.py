"""fromnoise: train, sample, evaluate and understand diffusion models, in code that reads like the papers.

The names that a notebook needs. Each is imported when it is first used, so that `fromnoise --help` does not wait for torch.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # read by type checkers, and by `_homes`
    from .conditions import Label as Label
    from .config import Recipe as Recipe
    from .data import Tensors as Tensors, checkerboard as checkerboard, moons as moons, pinwheel as pinwheel, swiss_roll as swiss_roll
    from .diffusion import Cosine as Cosine, Denoiser as Denoiser, Flow as Flow, Karras as Karras, Level as Level, Linear as Linear
    from .diffusion import LogitNormal as LogitNormal, LogNormal as LogNormal, Shifted as Shifted, Table as Table
    from .diffusion import clip as clip, guided as guided, loss as loss, threshold as threshold
    from .figures import gif as gif, grid as grid
    from .model import Model as Model, Sampling as Sampling, load as load, load_autoencoder as load_autoencoder
    from .networks import MLP as MLP, Context as Context, Conv as Conv, Network as Network, TwoLinear as TwoLinear, UNet as UNet
    from .samplers import ddim as ddim, ddpm as ddpm, dpmpp_2m as dpmpp_2m, heun as heun, unipc as unipc, walk as walk
    from .training import train as train


def _homes() -> dict[str, str]:
    """The package of every public name, as the imports above say it."""
    block = next(node for node in ast.parse(Path(__file__).read_text()).body if isinstance(node, ast.If))
    return {alias.name: line.module or "" for line in block.body if isinstance(line, ast.ImportFrom) for alias in line.names}


HOMES = _homes()
__all__ = sorted(HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(f".{HOMES[name]}", __name__), name)
    raise AttributeError(f"fromnoise has no {name!r}")


def __dir__() -> list[str]:
    return __all__
