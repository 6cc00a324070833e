"""The small languages of options: NAME=VALUE, numbers with commas, RUN:SHARE, a hint and its weight, a box."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import Usage
from .command import names

WEIGHT = r":[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|[iI][nN][fF])(?:[eE][-+]?[0-9]+)?"
CONTROL = re.compile(rf"([^=]+?)(?:=([^:].*?))?((?:{WEIGHT})*)")


def unused(why: str, cure: str = "", **given: Any) -> None:
    """Raises Usage for the first of these options that was given, in a case in which it would do nothing."""
    for name, value in given.items():
        if value is not None and value is not False and value != []:
            raise Usage(f"--{name.replace('_', '-')} would do nothing: {why}; {cure + ', or ' if cure else ''}leave it out")


def numbers(text: str, what: str, count: int | None = None, kind: type = float) -> list[Any]:
    """Numbers with commas, so many of them if it is said; `what` says what they should be."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or count not in (None, len(found)):
        raise Usage(f"{what}, not {text!r}")
    return found


def pair(what: str, text: str, example: str) -> tuple[str, str]:
    """NAME=VALUE."""
    key, equals, value = text.partition("=")
    if not equals:
        raise Usage(f"{what} is key=value, such as {example}, not {text!r}")
    return key, value


def schedule(text: str) -> dict[str, Any]:
    """NAME, or NAME:KEY=VALUE,KEY=VALUE, as a recipe's node."""
    head, equals, _ = text.partition("=")
    name, colon, _ = head.rpartition(":") if equals else (text, "", "")
    if (equals and not colon) or (not equals and text.partition(":")[0] in names("diffusion.SCHEDULES").split(", ") and ":" in text):
        raise Usage(f"a schedule is NAME, or NAME:KEY=VALUE,… such as table:betas=sigmoid,steps=500, not {text!r}")
    pairs = (pair("a setting of a schedule", word, "table:betas=sigmoid") for word in text[len(name) + 1 :].split(",") if word)
    return {"name": name} | {key: plain(value) for key, value in pairs}


def plain(text: str) -> Any:
    """A word as a number, true or false, or as it is."""
    with suppress(ValueError):
        return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
    return {"true": True, "false": False}.get(text.lower(), text)


def sampler_options(pairs: Sequence[str] | None) -> dict[str, Any] | None:
    """--option: a sampler's own, as numbers, true and false; None where there are none."""
    values: dict[str, Any] = {}
    for key, text in (pair("--option", word, "eta=0.5") for word in pairs or []):
        truth = {"true": True, "false": False}.get(text.lower())
        values[key] = numbers(text, f"option {key} is a number, or true or false", 1)[0] if truth is None else truth
    return values or None


def adapters(given: Sequence[str] | None) -> list[tuple[Path, float]]:
    """--adapter RUN or RUN:SHARE, as (run, share)."""
    found = []
    for word in given or []:
        run, share = (word, "1") if Path(word).exists() or ":" not in word else word.rsplit(":", 1)
        if not re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", share):
            raise Usage(f"--adapter is RUN, or RUN:SHARE such as runs/fashion_lora:0.7, not {word!r}")
        found.append((Path(run), float(share)))
    return found


def control(word: str) -> tuple[str, str | None, list[float]]:
    """--control WHAT[=FILE][:WEIGHT[:LOW:HIGH]] as (what, file, [weight, low, high])."""
    found = CONTROL.fullmatch(word)
    weights = [float(number) for number in found[3].split(":")[1:]] if found else []
    if not found or len(weights) not in (0, 1, 3):
        raise Usage(f"--control is WHAT=HINT.png, WHAT=HINT.png:WEIGHT or WHAT=HINT.png:WEIGHT:LOW:HIGH, not {word!r}")
    return found[1], found[2], weights


def size(text: str) -> tuple[int, int]:
    """--size WIDTHxHEIGHT, or a side in pixels, as (height, width)."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?", text)
    if not found:
        raise Usage(f"--size is a side in pixels, or WIDTHxHEIGHT such as 64x48, not {text!r}")
    return int(found[2] or found[1]), int(found[1])


def box(text: str, width: int, height: int) -> tuple[slice, slice] | None:
    """--mask X,Y,W,H as (rows, columns); None where it is no numbers, but a file."""
    if not re.fullmatch(r"[-+0-9., ]+", text):
        return None
    what = f"a box is X,Y,WIDTH,HEIGHT within the model's {width} x {height} pixels"
    x, y, w, h = numbers(text, what, 4, int)
    if min(x, y) < 0 or min(w, h) < 1 or x + w > width or y + h > height:
        raise Usage(f"{what}, not {text!r}")
    return slice(y, y + h), slice(x, x + w)


def in_turn(key: str, values: list[Any], n: int | None) -> Any:
    """One value, or n of them in turn."""
    if len(values) == 1:
        return values[0]
    if None in values:
        raise Usage(f"several values of {key} are given, and 'none' among them; draw those apart")
    if n is None:
        raise Usage(f"several values of {key} are taken by several samples in turn; this takes one")
    if len(values) > n:
        raise Usage(f"{len(values)} values of {key} are given, and {n} of them would be drawn; raise --number, or leave some out")
    return [values[i % len(values)] for i in range(n)]
