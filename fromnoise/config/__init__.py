"""A run as text: recipes, dotted overrides, and building objects from their nodes."""

from .build import brief, build, call, coerce, lookup, sound
from .recipe import KEYS, checked, difference, dump, find, load, read, recipes

__all__ = ["KEYS", "brief", "build", "call", "checked", "coerce", "difference", "dump", "find", "load", "lookup", "read", "recipes", "sound"]
