"""What can go wrong through no fault of the library, said in one line that names the cure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .synonyms import NOTES, meant, plain


class Problem(ValueError):
    """Something in the user's files, data or machine is in the way; the command line prints it and exits with 1."""

    exit_code = 1


class Usage(Problem):
    """A name or value that the user typed cannot be; the command line prints it and exits with 2."""

    exit_code = 2


@dataclass(frozen=True)
class Within:
    """The bounds of a number, both of which it may be, beside its type: Annotated[int, Within(1, 100)]."""

    least: float
    most: float


def nearest(word: str, known: Iterable[Any]) -> str:
    """`; did you mean 'x'?` where a known name is close or is what the word stands for elsewhere, otherwise `; one of: …`."""
    import difflib

    known = [str(k) for k in known]
    near = meant(word, known) or difflib.get_close_matches(plain(word), known, 1)
    note = f" ({NOTES[plain(word)]})" if plain(word) in NOTES else ""
    return f"; did you mean {' or '.join(map(repr, near))}?{note}" if near else f"; one of: {', '.join(known)}"


def check_text(what: str, text: str) -> None:
    """Raises Usage for a name whose bytes are no UTF-8, which no recipe can hold."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Usage(f"{what} {text!r} is not UTF-8 text, as recipes are; rename it, or make a link to it of another name")


def at_least(least: float, what: str, **settings: float) -> None:
    """Raises Usage for the first setting that is below `least`, or no finite number."""
    for key, value in settings.items():
        if not least <= value < float("inf"):
            raise Usage(f"{what}: {key} is {least} or more, not {value}")
