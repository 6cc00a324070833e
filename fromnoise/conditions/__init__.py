"""Conditions: a batch entry -> Context, by the place where it enters the network."""

from .condition import Condition
from .label import Label

CONDITIONS: dict[str, type[Condition]] = {"label": Label}

__all__ = ["CONDITIONS", "Condition", "Label"]
