"""A part's settings, read from its signature and its docstring."""

import inspect
import re
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from .build import words

PLAIN = (int, float, str, bool, list, dict)


def settings(thing: Callable[..., Any], given: Sequence[str] = ()) -> dict[str, str]:
    """Every setting that a recipe may give to a part: what it is unless said, what it may be, and what the part's docstring says of it; none of `given`."""
    hinted = thing.__init__ if inspect.isclass(thing) else thing if inspect.isroutine(thing) else type(thing).__call__
    kinds, text = typing.get_type_hints(hinted, include_extras=True), inspect.getdoc(thing) or ""
    found = {}
    for name, parameter in inspect.signature(thing).parameters.items():
        needed, kind = parameter.default is parameter.empty, kinds.get(name, Any)
        own = kind in PLAIN or typing.get_origin(kind) in (Annotated, list) if needed else not callable(parameter.default)
        if own and name not in given and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            usual = "needed" if needed else _plain(parameter.default)
            found[name] = "; ".join(part for part in (usual, words(kind), said(text, name)) if part)
    return found


def _plain(value: Any) -> str:
    """A default, as YAML writes it."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_plain, value))}]"
    return {"None": "null", "True": "true", "False": "false", "<factory>": ""}.get(str(value), str(value))


def said(text: str, name: str) -> str:
    """What a docstring says of a setting: in a line `name  words`, several of which `;  ` divides, or in a sentence `name: words.`"""
    line = re.search(rf"(?m)(?:^|;  |, ){name}(?:, \w+)*  +(.+?)(?=;  \w|$)", text)
    sentence = re.search(rf"(?:^|\s){name}: (.+?)(?=\.(?:\s|$)|;  )", text, re.S)
    found = line or sentence
    return " ".join(found[1].split()) if found else ""
