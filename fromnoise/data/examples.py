"""The examples that a recipe's `data` names."""

import inspect
from collections.abc import Mapping
from typing import Any

from ..config import build
from ..errors import Usage
from ..registry import lookup
from . import DATASETS
from .dataset import Dataset

OF_TRAINING = ("flip",)  # settings beside those of the set itself
NESTED = ("x", "source")  # settings that are sets themselves


def examples(node: Any, split: str) -> Dataset:
    """The training ("train") or held-out ("test") examples of a recipe's `data`: a name, or a mapping with one; mnist where there is none."""
    node = node or "mnist"
    if not isinstance(node, (str, Mapping)):
        raise Usage(f"data is a name, or a mapping with one, not {node!r}")
    node = {key: value for key, value in _mapping(node).items() if key not in OF_TRAINING}
    found = build(DATASETS, node, "data", {Dataset: lambda inner: examples(inner, split)}, split=split)
    if lacking := [word for word in ("shape", "classes", "keys", "get") if not hasattr(found, word)]:  # one's own may only be like one
        raise Usage(f"data {node['name']} makes a {type(found).__name__} without {lacking[0]}; fill in a fromnoise.data.dataset.Dataset")
    return found


def with_root(node: Any, root: str | None) -> Any:
    """The same sets, found below `root` (None: where the node says); those that are read from no files as they are."""
    if root is None:
        return node
    node = _mapping(node or "mnist")
    inner = {key: with_root(node[key], root) for key in NESTED if key in node}
    takes = inspect.signature(lookup(DATASETS, node["name"], "data")).parameters
    return node | (inner or {key: root for key in ("path", "root") if key in takes})


def _mapping(node: Any) -> dict[str, Any]:
    return {"name": node} if isinstance(node, str) else dict(node)
