"""Registries: dict literals from names to things; a part of your own is `module:Name`, or the thing itself."""

import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import Usage, nearest

PLUGIN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # package.module:Name
OWN: dict[str, None] = {}  # the parts of somebody's own that were found, in order
PATHS = ("path", "root")  # settings whose values are a user's words, such as C:pictures, and name no part


def lookup(table: Mapping[str, Any], name: Any, what: str) -> Any:
    """table[name]; `module:Name`, a function or class, imported; a callable as it is. Raises Usage for anything else, with the nearest name.

    Importing runs code: what comes from a file of somebody else is checked by `plugins` before any of it is imported.
    """
    if callable(name):
        return name
    if isinstance(name, str) and name in table:
        return table[name]
    if isinstance(name, str) and PLUGIN.fullmatch(name):
        module, _, thing = name.partition(":")
        try:
            found = getattr(importlib.import_module(module), thing)
            OWN[name] = None
        except (ImportError, AttributeError) as error:
            raise Usage(f"{what}: cannot import {name}: {error}; is it installed, or in the folder you are in?") from error
        except (Exception, SystemExit) as error:  # its own code is run
            raise Usage(f"{what}: {module} fails when it is imported, with {type(error).__name__}: {error}; mend that file") from error
        if not callable(found):
            raise Usage(f"{what}: {name} is a {type(found).__name__}, no function or class; name one")
        return found
    raise Usage(f"no {what} {name!r}{nearest(name, table)}")


def name_of(thing: Any, what: str) -> str:
    """`module:Name` of a callable, by which it is found again; raises Usage where it is not (a lambda, or a function inside another)."""
    name = f"{thing.__module__}:{thing.__qualname__}" if hasattr(thing, "__qualname__") else repr(thing)
    if not PLUGIN.fullmatch(name) or lookup({}, name, what) is not thing:
        raise Usage(f"{what}: {name} cannot be found again by its name; define it at the top of a module")
    return name


def plugins(node: Any) -> Iterator[str]:
    """Every `module:Name` in a recipe's node, wherever it stands but in `PATHS`."""
    if isinstance(node, str) and PLUGIN.fullmatch(node):
        yield node
    parts = [value for key, value in node.items() if key not in PATHS] if isinstance(node, Mapping) else node
    for part in parts if isinstance(parts, (list, tuple)) else ():
        yield from plugins(part)
