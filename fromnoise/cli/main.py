"""The `fromnoise` command."""
# ruff: noqa: I001 (commands are imported in the order of the help)

import io
import os
import sys

import typer

from ..errors import Problem
from . import train, sample, evaluate, runs, data, show, edit  # noqa: F401
from .command import app


def main() -> None:
    """The `fromnoise` command: what the user can mend is one line and an exit code, never a traceback; all else is a bug, and shows its own."""
    if os.getcwd() not in sys.path:  # parts of one's own, mine:Net, are found where the command is run; appended, so that they hide nothing
        sys.path.append(os.getcwd())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does: names of files may be no UTF-8
    try:
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except Problem as problem:
        said, code = " ".join(str(problem).split()), problem.exit_code
    except typer.BadParameter.__bases__[0] as error:  # Click's usage error, wherever this version of Typer keeps it
        said, code = error.format_message().rstrip(".") + (f"; see `{error.ctx.command_path} --help`" if error.ctx else ""), 2
    except (KeyboardInterrupt, typer.Abort):
        said, code = "interrupted", 130
    except BrokenPipeError:
        sys.exit(141)
    except (RuntimeError, MemoryError) as error:
        from ..device import out_of_memory

        if not out_of_memory(error):
            raise
        said, code = "the memory does not hold this; choose a smaller --batch, fewer steps or samples, or a smaller network", 1
    except OSError as error:
        said, code = f"{error.filename or 'a file'}: {error.strerror or error}", 1
    print(f"fromnoise: {said}", file=sys.stderr)
    sys.exit(code)
