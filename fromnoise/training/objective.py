"""What the objectives of runs (`Denoising`, `Reconstruction`) share: what they make of a recipe before the first step."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ..config import Recipe
from ..data import Dataset
from ..draws import mixed


@dataclass(frozen=True)
class Made:
    """What an objective makes of a recipe: the recipe with all that was found out, the model before its first step, its data, and what was chosen."""

    recipe: Recipe
    model: Any
    data: Dataset
    test: Dataset | None
    chosen: str | None = None


@contextmanager
def seeded(recipe: Recipe) -> Iterator[None]:
    """Within it random numbers are those of the recipe's first weights; the caller's are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(mixed("weights", recipe.seed))
        yield
