"""How a command is written: a function of its own options, and of dataclasses of options that commands share."""

import ast
import inspect
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import MISSING, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from pydoc import pager
from shutil import get_terminal_size
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from ..errors import Usage
from ..progress import console

Command = TypeVar("Command", bound=Callable[..., None])

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]}, help="Train, sample, evaluate and understand diffusion models.\n\n"
    "First steps:  [bold]fromnoise train digits[/]   then   [bold]fromnoise sample runs/digits --out digits.png[/]")  # fmt: skip
data_app, show_app, edit_app = (typer.Typer(no_args_is_help=True) for _ in range(3))
app.add_typer(data_app, name="data", help="Look at data before training on it.")
app.add_typer(show_app, name="show", help="Pictures that explain: the forward and reverse process, schedules, samplers side by side.")
app.add_typer(edit_app, name="edit", help="Pictures changed by a trained model: inpainted, inverted, interpolated, varied, steered.")
RUN = "Run and machine"  # the last part of a command's help


def flag(help: str, *flags: str, default: Any = None, **how: Any) -> Any:
    """A field of a dataclass of options, with its flags: --NAME unless they are given, or -N alone to go with it."""
    return field(default=default, metadata={"option": (help, flags, how)})


def command(to: typer.Typer, *examples: str, without: tuple[str, ...] = (), **defaults: Any) -> Callable[[Command], Command]:
    """Registers a function as a command, with examples of its use below its help.

    A parameter or field that is a dataclass stands for its fields, shown in its `panel`; those of `without` keep their defaults; `defaults` are this command's own.
    """

    def register(function: Command) -> Command:
        given = inspect.signature(function).parameters
        shared = {key: p.annotation for key, p in given.items() if is_dataclass(p.annotation)}
        own = [p.replace(kind=p.KEYWORD_ONLY) for key, p in given.items() if key not in shared]
        taken = {*without, *(p.name for p in own)}
        every = [p for kind in shared.values() for p in _parameters(kind, defaults) if p.name not in taken] + own
        every.sort(key=lambda p: p.annotation.__metadata__[0].rich_help_panel == RUN)

        def run(**words: Any) -> None:
            check_out(words)
            function(**{p.name: words.pop(p.name) for p in own}, **{key: _made(kind, words) for key, kind in shared.items()})

        run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in every}
        run.__doc__ = function.__doc__
        shown = "  ·  ".join(f"[cyan]fromnoise {example}[/]" for example in examples)
        to.command(function.__name__.rstrip("_"), epilog=f"Example{'s' * (len(examples) > 1)}:  {shown}")(run)
        return function

    return register


def check_out(words: Mapping[str, Any]) -> None:
    """Raises Usage where a command would write over a file that it reads."""
    out = words.get("out")
    if not (isinstance(out, Path) and out.is_file()):
        return
    for key, part in words.items():
        for value in part if isinstance(part, list) else [part]:
            if key != "out" and isinstance(value, Path) and value.is_file() and out.samefile(value):
                raise Usage(f"--out {out} is a file that is read; nothing is written over it, so name another")


def _parameters(kind: type, defaults: Mapping[str, Any]) -> Iterator[inspect.Parameter]:
    """The fields of a dataclass of options as parameters of a command, each in the part of the help that its class names."""
    hints = get_type_hints(kind, include_extras=True)
    for part in fields(kind):
        hint = hints[part.name]
        if is_dataclass(hint):
            yield from _parameters(hint, defaults)
            continue
        if "option" in part.metadata:
            text, flags, how = part.metadata["option"]
            long = [] if any(flag.startswith("--") for flag in flags) else [f"--{part.name.replace('_', '-')}"]
            hint = Annotated[hint, typer.Option(*long, *flags, help=text, rich_help_panel=getattr(kind, "panel", None), **how)]
        default = defaults.get(part.name, inspect.Parameter.empty if part.default is MISSING else part.default)
        yield inspect.Parameter(part.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _made(kind: type, words: Mapping[str, Any]) -> Any:
    """A dataclass of options from a command's words."""
    parts = {key: _made(hint, words) for key, hint in get_type_hints(kind).items() if is_dataclass(hint)}
    return kind(**parts, **{part.name: words[part.name] for part in fields(kind) if part.name in words and part.name not in parts})


@cache
def names(registry: str) -> str:
    """The names of a registry, such as "samplers.SAMPLERS", between commas; read from its source, since importing it would import torch."""
    module, _, table = registry.rpartition(".")
    place = Path(__file__).parents[1].joinpath(*module.split("."))
    for node in ast.parse((place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).read_text()).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == table:
            return ", ".join(key.value for key in node.value.keys)  # type: ignore[union-attr]
    raise LookupError(f"no registry {registry}")


@contextmanager
def paged() -> Iterator[None]:
    """What is printed within it goes through the machine's pager where it is longer than the terminal; as it is where there is no terminal."""
    if not sys.stdout.isatty():
        yield
        return
    held = io.StringIO()
    held.isatty = lambda: True  # type: ignore[method-assign]  # so that it is styled as the terminal's
    with redirect_stdout(held):
        yield
    text = held.getvalue()
    if text.count("\n") < get_terminal_size().lines:
        print(text, end="")
    else:
        from rich.text import Text

        pager(Text.from_ansi(text).plain)


def print_table(rows: list[tuple[str, str]], title: str | None = None, pad: int = 0) -> None:
    """Prints names, each with what it says of itself."""
    from rich.table import Column, Table

    look: dict[str, Any] = {"title_justify": "left", "title_style": "bold", "show_header": False, "box": None, "padding": (0, 2, 0, pad)}
    table = Table(Column(no_wrap=True, style="cyan"), Column(), title=title, **look)
    for row in rows:
        table.add_row(*row)
    console().print(table)
