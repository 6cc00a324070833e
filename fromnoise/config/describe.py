"""A part's settings, read from its signature and its docstring."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from .build import words
from .shared import SHARED

PLAIN = (int, float, str, bool, list, dict)


def settings(thing: Callable[..., Any], given: Sequence[str] = ()) -> dict[str, str]:
    """Every setting that a recipe may give to a part: what it is unless said, what it may be, and what the part's docstring says of it; none of `given`."""
    hinted = thing.__init__ if inspect.isclass(thing) else thing if inspect.isroutine(thing) else type(thing).__call__
    kinds, every = typing.get_type_hints(hinted, include_extras=True), dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ()
    said_by = [part for part in thing.__mro__ if part is not object] if every and inspect.isclass(thing) else [thing]  # settings of any run, and its own
    text = "\n".join(inspect.getdoc(part) or "" for part in said_by)
    found, made = {}, {each.name: each.default_factory for each in every if each.default_factory is not dataclasses.MISSING}
    for name, parameter in inspect.signature(thing).parameters.items():
        needed, kind = parameter.default is parameter.empty, kinds.get(name, Any)
        own = kind in PLAIN or typing.get_origin(kind) in (Annotated, list) if needed else not callable(parameter.default)
        if own and name not in given and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            usual = "needed" if needed else _plain(made[name]() if name in made else parameter.default)
            found[name] = "; ".join(part for part in (usual, words(kind), said(text, name) or SHARED.get(name)) if part)
    return found


def _plain(value: Any) -> str:
    """A default, as YAML writes it."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_plain, value))}]"
    if dataclasses.is_dataclass(value):
        return f"{{{', '.join(f'{key}: {_plain(part)}' for key, part in vars(value).items())}}}"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def said(text: str, name: str) -> str:
    """What a docstring says of a setting: in a line `name  words`, several of which `;  ` divides and indented ones go on, or in `name: words.`"""
    line = re.search(rf"(?m)(?:^|;  |, ){name}(?:, \w+)*  +((?:.|\n +)+?)(?=;  \w|$(?!\n ))", text)
    sentence = re.search(rf"(?:^|\s){name}: (.+?)(?=\.(?:\s|$)|;  )", text, re.S)
    found = line or sentence
    return " ".join(found[1].split()) if found else ""
