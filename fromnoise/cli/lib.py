"""The library as commands use it: `lib.figures`, …, each part imported when it is first used, so that help does not wait for torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what there is, for type checkers
    import torch  # noqa: F401

    from .. import (  # noqa: F401
        conditions,
        config,
        convert,
        data,
        diffusion,
        editing,
        evaluation,
        figures,
        files,
        model,
        networks,
        runs,
        samplers,
        training,
    )
    from ..data import examples  # noqa: F401
    from . import pictures  # noqa: F401


def __getattr__(name: str) -> Any:
    elsewhere = {"torch": "torch", "examples": "..data.examples", "pictures": ".pictures"}  # all else is a package of ours
    return import_module(elsewhere.get(name, f"..{name}"), __package__)
