"""Fields of another library's configurations: the default of each, and which values we take; the rest is refused by name."""

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import Problem

Config = Mapping[str, Any]  # a configuration, what it leaves out at its class's defaults
Said = dict[str, Any]  # settings of a recipe, by dotted keys
AVERAGE = "how diffusers' EMAModel averaged the weights that lie beside it"
ADDED = "read beside addition_embed_type, class_embed_type or encoder_hid_dim_type alone, which are refused"
HARMLESS = {  # fields of networks that change no answer, and why; a class that reads one has it among its own
    "num_train_timesteps": "read by a learned time embedding alone, which is refused", "norm_num_groups": "a DiT has no group norms",
    "addition_time_embed_dim": ADDED, "addition_embed_type_num_heads": ADDED, "projection_class_embeddings_input_dim": ADDED,
    **dict.fromkeys(("decay", "inv_gamma", "min_decay", "optimization_step", "power", "update_after_step", "use_ema_warmup"), AVERAGE),
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """A field: its default, which values are taken, what a value says of a recipe, alone or beside the other fields, and in words what is taken."""

    default: Any
    takes: Callable[[Any], bool]
    says: Callable[[Any, Config], Said] = lambda value, config: {}
    words: str = ""


def only(*values: Any) -> Field:
    """One of these values, the first by default, which say nothing."""
    words = " or ".join(map(repr, values))
    return Field(values[0], lambda value: any(value is v or (value == v and type(value) is type(v)) for v in values), words=words)


def word(place: str, table: Mapping[str, Any], default: str) -> Field:
    words = ", ".join(table)
    return Field(default, lambda value: isinstance(value, str) and value in table, lambda value, config: {place: table[value]}, words)


def number(default: float, place: str | None = None, above: float = -math.inf, most: float = math.inf) -> Field:
    """above < number <= most, said at a place of its own or by another field."""
    takes = lambda value: type(value) in (int, float) and math.isfinite(value) and above < value <= most  # noqa: E731
    words = f"a number above {above:g} and up to {most:g}"
    return Field(default, takes, lambda value, config: {place: float(value)} if place else {}, words)


def whole(default: int | None, least: int = 1) -> Field:
    """A whole number; None as well where that is the default."""
    takes = lambda value: (type(value) is int and value >= least) or (value is None and default is None)  # noqa: E731
    return Field(default, takes, words=f"a whole number from {least}" + (" or None" if default is None else ""))


def several(default: tuple[Any, ...], one: Field) -> Field:
    """A list of values, one a level."""
    takes = lambda value: isinstance(value, (list, tuple)) and len(value) > 0 and all(map(one.takes, value))  # noqa: E731
    return Field(default, takes, words=f"a list, for each level {one.words}")


def flag(default: bool, says: Callable[[Any, Config], Said] = lambda value, config: {}) -> Field:
    return Field(default, lambda value: isinstance(value, bool), says, "True or False")


SIDE = whole(None)
SIZE = Field(None, lambda value: SIDE.takes(value) or (isinstance(value, (list, tuple)) and len(value) == 2 and all(map(whole(1).takes, value))))
SHARE = Field(0.0, lambda value: type(value) in (int, float) and 0 <= value <= 1, words="a share from 0 to 1")


def refuse(file: str, key: str, config: Config, why: str = "has no counterpart here") -> Problem:
    """The problem that a field of a file has a value that we do not take."""
    value = repr(config[key])
    return Problem(f"{file}: {key} {value if len(value) < 80 else value[:60] + '…'} of {config['_class_name']} {why}")


def checked(file: str, config: Config, fields: Mapping[str, Field], unread: Container[str] = HARMLESS) -> dict[str, Any]:
    """The configuration with all of its class's fields; raises Problem for a value that is not taken, and for a field that nobody knows.

    unread: names of other fields that change nothing. A field that nobody knows may be off, None or False: `off` names those.
    """
    full = {"_class_name": "this model"} | {key: field.default for key, field in fields.items()} | dict(config)
    for key, value in config.items():
        if key in fields and not fields[key].takes(value):
            taken = f"; taken is {fields[key].words}" if fields[key].words else ""
            raise refuse(file, key, full, f"has no counterpart here{taken}")
        if not (key in fields or key in unread or key.startswith("_") or value is None or value is False):
            raise refuse(file, key, full, "is a field that fromnoise does not know; save the model with an older diffusers, or update fromnoise")
    return full


def refuse_if(wrong: Any, config: Config, keys: str, why: str) -> None:
    """Raises Problem where fields of a network, each of which is taken, do not go together."""
    if wrong:
        raise Problem(f"config.json: {', '.join(f'{key} {config[key]!r}' for key in keys.split())} of {config['_class_name']}: {why}")


def off(file: str, config: Config, fields: Container[str], unread: Container[str] = HARMLESS) -> list[str]:
    """A line with the fields that nobody knows, and are off."""
    found = [key for key in config if not (key in fields or key in unread or key.startswith("_"))]
    return [f"{file}: fields unknown to fromnoise, which are off ({len(found)}): {', '.join(found)}"] if found else []
