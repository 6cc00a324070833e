"""A run as text: recipes, dotted overrides, and building objects from their nodes."""

from ..errors import Within
from .build import bound, build, call, coerce
from .describe import settings
from .recipe import KEYS, LENGTHS, MADE, SEED, Recipe, differences, find, load, read, recipes

__all__ = ["KEYS", "LENGTHS", "MADE", "SEED", "Recipe", "Within", "bound", "build", "call", "coerce", "differences", "find", "load", "read", "recipes", "settings"]
