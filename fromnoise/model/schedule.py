"""A schedule from its node in a recipe."""

from typing import Any

from ..config import build
from ..diffusion import SCHEDULES, Schedule


def schedule(node: Any) -> Schedule:
    """The schedule that a node names: cosine, or {name: shifted, base: flow, by: 3}."""
    return node if isinstance(node, Schedule) else build(SCHEDULES, node, "noise", {Schedule: schedule})
