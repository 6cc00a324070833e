"""A run as text: recipes, dotted overrides, and building objects from their nodes."""

from .build import Within, build, call, coerce
from .recipe import KEYS, LENGTHS, MADE, Recipe, differences, find, load, read, recipes

__all__ = ["KEYS", "LENGTHS", "MADE", "Recipe", "Within", "build", "call", "coerce", "differences", "find", "load", "read", "recipes"]
