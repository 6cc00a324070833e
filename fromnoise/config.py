"""A run as text: recipes, dotted overrides, and building objects from their nodes."""

import collections.abc
import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import Problem, Usage, nearest

KEYS = (
    "base",
    "adapter",
    "data",
    "network",
    "conditions",
    "predict",
    "noise",
    "grid",
    "clock",
    "frame",
    "data_std",
    "source",
    "train",
    "sample",
    "evaluate",
    "seed",
)
PARTS = ("data", "adapter", "network", "noise", "grid", "source")  # a name and the settings that go with it
MADE = ("shape", "classes", "image", "version")  # what a run adds, so that sampling needs no data
PLACES = (Path(__file__).parent / "recipes", Path(__file__).parent.parent / "recipes")
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


def recipes() -> dict[str, Path]:
    """The recipes that come with fromnoise, by name."""
    return {path.stem: path for place in PLACES for path in sorted(place.glob("*.yaml"))}


def find(recipe: str) -> Path:
    """The file of a recipe, given by name or path."""
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise Usage(f"there is no recipe file {recipe}; `fromnoise list` prints the recipes that come with fromnoise")
        return path
    known = recipes()
    if recipe not in known:
        raise Usage(f"no recipe {recipe!r}{nearest(recipe, known)}; or give the path of a .yaml file")
    return known[recipe]


def read(path: Path) -> dict[str, Any]:
    """A YAML file as a plain dict; unknown keys are refused."""
    from omegaconf import OmegaConf

    try:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except Exception as error:  # YAML and OmegaConf raise many types
        raise Problem(f"{path} is not readable as YAML: {' '.join(str(error).split())[:200]}") from error
    return checked(config, str(path))


def checked(config: Any, where: str) -> dict[str, Any]:
    if not isinstance(config, dict):
        raise Problem(f"{where} holds no settings; a recipe is a YAML mapping with keys such as {', '.join(KEYS[:3])}")
    for key in config:
        if key not in KEYS + MADE:
            raise Usage(f"{where}: no setting {key!r}{nearest(key, KEYS)}")
    return config


def load(recipe: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A recipe with dotted overrides `key.key=value` merged over it.

    An override of a part's name, `network=conv` or `network.name=conv`, takes that part's defaults: settings of the old one make no sense there.
    """
    from omegaconf import OmegaConf

    config = OmegaConf.create(read(find(recipe)))
    pairs = []
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise Usage(f"an override is key=value, such as train.batch=64, not {override!r}")
        if key.split(".")[0] not in KEYS:
            raise Usage(f"no setting {key.split('.')[0]!r}{nearest(key.split('.')[0], KEYS)}")
        pairs.append((key.removesuffix(".name") if key.split(".")[0] in PARTS else key, text))
    for key, text in sorted(pairs, key=lambda pair: pair[0].count(".")):  # names before the settings below them
        try:
            value = OmegaConf.from_dotlist([f"x={text}"]).x
            if isinstance(OmegaConf.select(config, key), Mapping) and isinstance(value, str):
                value = {"name": value}
            *above, _ = key.split(".")
            node = OmegaConf.select(config, ".".join(above)) if above else config
            if isinstance(node, str):  # `noise: cosine` is short for `noise: {name: cosine}`
                OmegaConf.update(config, ".".join(above), {"name": node})
            OmegaConf.update(config, key, value, merge=False, force_add=True)
        except Exception as error:
            raise Usage(f"cannot set {key}={text}: {' '.join(str(error).split())[:160]}") from error
    plain = OmegaConf.to_container(config, resolve=True)
    return checked(plain, recipe)


def dump(config: Mapping[str, Any]) -> str:
    """The settings as YAML, each part on one line."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))


def difference(a: Any, b: Any, at: str = "") -> list[tuple[str, Any, Any]]:
    """Where two configs differ: (dotted key, value in a, value in b)."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return [d for key in {**a, **b} for d in difference(a.get(key), b.get(key), f"{at}.{key}" if at else key)]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in difference(x, y, f"{at}.{i}")]
    return [] if a == b else [(at, a, b)]


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
