"""A run as text: recipes, dotted overrides, and building objects from their nodes."""

from ..errors import Within
from .build import bound, build, call, coerce
from .describe import settings
from .recipe import FIRST, KEYS, LENGTHS, MADE, SEED, Recipe, differences, find, load, read, recipes
