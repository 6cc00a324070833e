"""Objects from their nodes: a name of a registry and the settings that go with it."""

import collections.abc
import dataclasses
import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import Problem, Usage, nearest

WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a word",
    bool: "true or false",
    type(None): "null",
    list: "a list",
    dict: "a mapping",
}
FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError)  # how settings that cannot be show


def lookup(table: Mapping[str, Any], name: str, what: str, plugins: bool = True) -> Any:
    """table[name]; a name with a colon, `package.module:Thing`, is imported."""
    if isinstance(name, str) and name in table:
        return table[name]
    if ":" in str(name):
        if not plugins:
            raise Problem(f"{what} is your own {name}; loading it runs that code: say trust=True (--trust) if you trust it")
        module, _, thing = str(name).partition(":")
        try:
            return getattr(importlib.import_module(module), thing)
        except (ImportError, AttributeError) as error:
            raise Usage(f"{what}: cannot import {name}: {error}; is it installed, or in the folder you are in?") from error
    raise Usage(f"no {what} {name!r}{nearest(name, table)}")


def build(
    table: Mapping[str, Any], node: Any, what: str, plugins: bool = True, nested: Mapping[type, Callable[[Any], Any]] | None = None, **given
):
    """Calls table[node["name"]] with the rest of the node, and says plainly what is wrong with it.

    `given` are arguments that the node may not set; `nested` builds arguments of those types from nodes of their own.
    """
    node = {"name": node} if isinstance(node, str) else node
    if not isinstance(node, Mapping) or "name" not in node:
        raise Usage(f"{what} needs a name: {what}={next(iter(table))}, or {{name: {next(iter(table))}, …}}; one of: {', '.join(table)}")
    thing = lookup(table, node["name"], what, plugins)
    settings = {key: value for key, value in node.items() if key != "name"}
    return call(thing, settings, f"{what} {node['name']}", nested, **given)


def call(
    thing: Callable[..., Any], settings: Mapping[str, Any], what: str, nested: Mapping[type, Callable[[Any], Any]] | None = None, **given
):
    """thing(**settings, **given) with names and types checked against its signature."""
    if not isinstance(settings, Mapping):
        raise Usage(f"{what} is a mapping of settings, not {settings!r}")
    parameters = inspect.signature(thing).parameters
    annotations = typing.get_type_hints(thing.__init__ if inspect.isclass(thing) else thing)
    own = [key for key in parameters if key not in given]
    for key in settings:
        if key not in own:
            raise Usage(f"{what} has no setting {key!r}" + (nearest(key, own) if own else "; it has none"))
    values = {key: coerce(value, annotations.get(key, Any), f"{what}: {key}", nested or {}) for key, value in settings.items()}
    missing = [
        key
        for key, p in parameters.items()
        if p.default is p.empty and key not in values and key not in given and p.kind == p.POSITIONAL_OR_KEYWORD
    ]
    if missing:
        raise Usage(f"{what} needs {missing[0]}: add {missing[0]}=…")
    try:
        return thing(**values, **{key: value for key, value in given.items() if key in parameters})
    except FAILURES as error:
        if isinstance(error, Problem) or not thing.__module__.startswith("fromnoise."):
            raise  # a part of your own: you will want to see where
        raise Usage(f"{what} cannot be made from these settings: {brief(error)}") from error


@contextmanager
def sound(config: Mapping[str, Any]) -> Iterator[None]:
    """Within it, what fails because settings do not fit together is a Usage, in one line; parts of your own fail as they are."""
    try:
        yield
    except FAILURES as error:
        if isinstance(error, Problem) or re.search(r"[\w.]:[A-Za-z_]\w*$", "\n".join(_names(config)), re.MULTILINE):
            raise
        raise Usage(f"these settings do not fit together: {brief(error)}") from error


def _names(node: Any) -> list[str]:
    """Every word in a config."""
    if isinstance(node, str):
        return [node]
    parts = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    return [word for part in parts for word in _names(part)]


def brief(error: Exception) -> str:
    """What went wrong, in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def coerce(value: Any, wanted: Any, where: str, nested: Mapping[type, Callable[[Any], Any]]) -> Any:
    """The value as the annotation wants it, or one line that says what it should have been."""
    if wanted is Any or wanted is inspect.Parameter.empty or wanted is collections.abc.Callable:
        return value
    if wanted in nested:
        return nested[wanted](value)
    if dataclasses.is_dataclass(wanted) and not isinstance(value, wanted):
        return call(wanted, value, where)
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        for part in parts:
            try:
                return coerce(value, part, where, nested)
            except Usage:
                continue
    elif origin is typing.Literal:
        if value in parts:
            return value
        raise Usage(f"{where} is one of {', '.join(map(str, parts))}, not {value!r}")
    elif origin in (list, tuple, collections.abc.Sequence):
        if isinstance(value, (list, tuple)):
            return [coerce(item, parts[0], where, nested) for item in value] if parts else list(value)
    elif origin is collections.abc.Callable:
        if callable(value):
            return value
    elif origin in (dict, collections.abc.Mapping) or wanted is dict:
        if isinstance(value, Mapping):
            return dict(value)
    elif wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif wanted is int and isinstance(value, float) and value.is_integer():
        return int(value)
    elif wanted in (int, str, bool, type(None)):
        if isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
            return value
    else:
        return value
    raise Usage(f"{where} is {words(wanted)}, not {value!r}")


def words(wanted: Any) -> str:
    """A type, in words."""
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(words(part) for part in parts)
    if origin in (list, tuple, collections.abc.Sequence):
        return f"a list of {words(parts[0]).removeprefix('a ')}s" if parts else "a list"
    return WORDS.get(wanted, WORDS.get(origin, str(getattr(wanted, "__name__", wanted))))
