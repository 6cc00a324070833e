"""Objects from their nodes: a name of a registry and the settings that go with it."""

import collections.abc
import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np

from ..errors import Usage, Within, nearest
from ..registry import lookup

WORDS = {
    int: "a whole number", float: "a finite number", str: "a word", bool: "true or false", type(None): "null", list: "a list",
    dict: "a mapping", Mapping: "a mapping", Callable: "a function", Any: "any value",
}  # fmt: skip
MOST = 10**12  # of a whole number: a size beyond is none that torch can count
Nested = Mapping[Any, Callable[[Any], Any]]  # annotation -> how an argument of it is made from its node


def build(table: Mapping[str, Any], node: Any, what: str, nested: Nested | None = None, kind: type = object, **given: Any) -> Any:
    """Calls the thing that node["name"] names in a registry with the rest of the node, and says plainly what is wrong with it.

    `given` are arguments that the node may not set; `nested` builds arguments of those types from nodes of their own; a `kind` is what is made.
    """
    thing, settings, what = _named(table, node, what)
    try:
        made = call(thing, settings, what, nested, **given)
    except (TypeError, AttributeError) as error:  # of what is no part of a recipe, though it can be called; ours are checked before
        if thing in table.values():
            raise
        raise Usage(f"{what} cannot be made, with {type(error).__name__}: {error}; name a function or class that takes what it is given") from error
    if not isinstance(made, kind):
        raise Usage(f"{what} makes a {type(made).__name__}, no {kind.__name__}; name one that makes a fromnoise {kind.__name__}")
    return made


def _named(table: Mapping[str, Any], node: Any, what: str) -> tuple[Any, dict[str, Any], str]:
    """(what a node names in a registry, its settings, both in words)."""
    node = node if isinstance(node, Mapping) else {"name": node}
    if node.get("name") is None:
        raise Usage(f"{what} needs a name: {what}={next(iter(table))}, or {{name: {next(iter(table))}, …}}; one of: {', '.join(table)}")
    name = node["name"]
    settings = {key: value for key, value in node.items() if key != "name"}
    return lookup(table, name, what), settings, f"{what} {getattr(name, '__name__', name)}"


def bound(table: Mapping[str, Any], node: Any, what: str, given: Sequence[str] = ()) -> Any:
    """What a name, or a node with a name and settings, names in a registry, with those settings bound to it: a function that is called with the rest,
    which are the arguments without a default, and those of `given`."""
    thing, settings, what = _named(table, node, what)
    if not settings:
        return thing
    if thing is None:
        raise Usage(f"{what} has no settings; leave {next(iter(settings))} out")
    rest = [key for key, p in parameters_of(thing, what).items() if p.default is p.empty or key in given]
    return partial(thing, **arguments(thing, settings, what, given=rest))


def call(thing: Callable[..., Any], settings: Mapping[str, Any], what: str, nested: Nested | None = None, **given: Any) -> Any:
    """thing(**settings, **given) with names and types checked against its signature; arguments of `given` that it does not take are left out."""
    values, parameters = arguments(thing, settings, what, nested, given), parameters_of(thing, what)
    return thing(**values, **{key: value for key, value in given.items() if key in parameters})


def parameters_of(thing: Callable[..., Any], what: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of a function or class; raises Usage where it tells none, as some that are written in C."""
    try:
        return inspect.signature(thing).parameters
    except (ValueError, TypeError) as error:
        raise Usage(f"{what} cannot be a part of a recipe: {getattr(thing, '__name__', thing)} does not tell its parameters") from error


def arguments(
    thing: Callable[..., Any], settings: Mapping[str, Any], what: str, nested: Nested | None = None, given: Collection[str] = ()
) -> dict[str, Any]:
    """The settings as arguments of the thing, names and types checked against its signature; those of `given` are not settings."""
    if not isinstance(settings, Mapping):
        raise Usage(f"{what} is a mapping of settings, not {settings!r}")
    parameters = parameters_of(thing, what)
    hinted = thing.__init__ if inspect.isclass(thing) else thing if inspect.isroutine(thing) else type(thing).__call__
    annotations = typing.get_type_hints(hinted, include_extras=True)
    own = [key for key in parameters if key not in given]
    anything = any(p.kind == p.VAR_KEYWORD for p in parameters.values())
    for key in settings:
        if key not in own and not anything:
            raise Usage(f"{what} has no setting {key!r}" + (nearest(key, own) if own else "; it has none"))
    values = {
        key: value if isinstance(value, float) and value == getattr(parameters.get(key), "default", None) else  # may be infinite
        coerce(value, annotations.get(key, Any), f"{what}: {key}", nested or {}) for key, value in settings.items()
    }  # fmt: skip
    for key, p in parameters.items():
        if p.default is p.empty and key not in values and key not in given and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            raise Usage(f"{what} needs {key}: add {key}=…")
    return values


def coerce(value: Any, wanted: Any, where: str, nested: Nested) -> Any:
    """The value as the annotation wants it, or one line that says what it should have been."""
    if wanted is Any or wanted is inspect.Parameter.empty:
        return value
    if typing.get_origin(wanted) is typing.Annotated:
        kind, bounds = typing.get_args(wanted)
        if (number := _number(value, kind)) is not None and bounds.least <= number <= bounds.most:
            return number
        raise Usage(f"{where} is {words(wanted)}, not {value!r}")
    if wanted in WORDS and isinstance(value, np.generic):
        value = value.item()
    if wanted in nested:
        return value if isinstance(wanted, type) and isinstance(value, wanted) else nested[wanted](value)
    if dataclasses.is_dataclass(wanted) and not isinstance(value, wanted):
        return call(wanted, value, where, nested)
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        made = [part for part in parts if part in nested or dataclasses.is_dataclass(part)]
        if made and isinstance(value, (str, Mapping)) and str not in parts:
            return coerce(value, made[0], where, nested)  # what is wrong with it is said, not only that it does not fit
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
    elif collections.abc.Callable in (origin, wanted):
        if callable(value):
            return value
    elif origin in (dict, collections.abc.Mapping) or wanted is dict:
        if isinstance(value, Mapping):
            return dict(value)
    elif wanted in (int, float):
        if (number := _number(value, wanted)) is not None:
            return coerce(number, Annotated[int, Within(-MOST, MOST)], where, nested) if wanted is int else number
    elif wanted in (str, bool, type(None)):
        if isinstance(value, wanted):
            return value
    else:
        return value
    quoted = f"; put it in quotes, '{value}', if that is the word" if wanted is str and isinstance(value, (int, float)) else ""
    raise Usage(f"{where} is {words(wanted)}, not {value!r}{quoted}")


def _number(value: Any, kind: type) -> Any:
    """The value as a whole number (int), or a finite one (float); None where it is none."""
    value = value.item() if isinstance(value, np.generic) else value
    finite = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return kind(value) if finite and (kind is float or value % 1 == 0) else None


def words(wanted: Any) -> str:
    """A type, in words."""
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Annotated:
        bounds = next(part for part in typing.get_args(wanted) if isinstance(part, Within))
        return f"{words(parts[0])} from {bounds.least:,} to {bounds.most:,}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(words(part) for part in parts)
    if origin is typing.Literal:
        return " or ".join(map(str, parts))
    if origin in (list, tuple, collections.abc.Sequence):
        each, by, bounds = words(parts[0]).partition(" from ") if parts else ("", "", "")
        return f"a list of {each.removeprefix('a ')}s{by}{bounds}" if parts else "a list"
    return WORDS.get(wanted, WORDS.get(origin, str(getattr(wanted, "__name__", wanted))))
