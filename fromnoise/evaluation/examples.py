"""Real examples beside a model: whether they are of its kind, and what conditions they come with."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..data import Dataset
from ..errors import Problem
from ..model import Model


def spread(n: int, total: int) -> Tensor:
    """The numbers (n,) of n examples from all over a set of `total`; in turn where it has fewer."""
    return torch.arange(n) * total // n if n <= total else torch.arange(n) % total


def read_conditions(model: Model, batch: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the model's conditions in a batch of data."""
    conditions: Any = model.conditions
    return {key: condition.read(batch) for key, condition in conditions.items()}


def example_conditions(model: Model, data: Dataset, n: int) -> dict[str, Any]:
    """The conditions of n examples from all over the data; {} where a model varies them by itself, as it does labels."""
    if not any(condition.from_data for condition in model.conditions.values()):
        return {}
    return read_conditions(model, data.get(spread(n, len(data))))


def check_data(model: Model, data: Dataset) -> None:
    """Raises Problem where the data is not of the kind that the model makes."""
    cure = "evaluate it on the data it was trained on"
    if tuple(data.shape) != model.shape:
        raise Problem(f"the run makes examples of shape {model.shape}, the data has {tuple(data.shape)}; {cure}")
    ours, theirs = (tuple(map(str, classes)) for classes in (model.classes, data.classes))
    if "label" in model.conditions and ours and ours != theirs:
        raise Problem(f"the run knows {_named(ours)}, the data has {_named(theirs)}; {cure}")


def _named(classes: Sequence[str]) -> str:
    """How many classes, and the first of them."""
    return f"{len(classes)} classes ({', '.join(classes[:5])}{', …' if len(classes) > 5 else ''})" if classes else "no classes"
