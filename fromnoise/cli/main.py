"""The `fromnoise` command."""
# ruff: noqa: I001 (commands are imported in the order of the help)

import difflib
import io
import os
import sys
import traceback
from typing import Any

import typer

from ..errors import Problem
from ..registry import OWN
from ..synonyms import meant, plain
from . import lib, train, sample, evaluate, runs, data, show, edit  # noqa: F401
from .command import app


def main() -> None:
    """The `fromnoise` command: what the user can mend is one line and an exit code, never a traceback; all else is a bug, and shows its own."""
    if os.getcwd() not in sys.path:  # parts of one's own, mine:Net, are found where the command is run; appended, so that they hide nothing
        sys.path.append(os.getcwd())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does: names of files may be no UTF-8
    OWN.clear()
    try:
        code = app(standalone_mode=False)
        if code == 130:  # so newer versions of Typer hand on an interruption, older ones as Abort
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except Problem as problem:
        said, code = " ".join(str(problem).split()), problem.exit_code
    except typer.BadParameter.__bases__[0] as error:  # Click's usage error, wherever this version of Typer keeps it
        said, code = _unknown(error) or error.format_message().rstrip(".") + (f"; see `{error.ctx.command_path} --help`" if error.ctx else ""), 2
    except (KeyboardInterrupt, typer.Abort):
        said, code = "interrupted", 130
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:
        said, code = f"{error.filename or 'a file'}: {error.strerror or error}", 1
    except Exception as error:
        from ..device import out_of_memory

        if out_of_memory(error):
            said, code = "the memory does not hold this; choose a smaller --batch, fewer steps or samples, or a smaller network", 1
        elif OWN and not os.environ.get("FROMNOISE_TRACEBACK"):
            at = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {' '.join(str(error).split())} ({at.filename}, line {at.lineno})"
            said, code = f"with parts of your own ({', '.join(OWN)}), {said}; FROMNOISE_TRACEBACK=1 shows all of it", 1
        else:
            raise
    print(f"fromnoise: {said}", file=sys.stderr)
    sys.exit(code)


def _unknown(error: Any) -> str | None:
    """What to say of an option that there is none such: the command's own for it, or the sampler's; None of any other error."""
    name, context = getattr(error, "option_name", None), error.ctx
    if name is None or context is None:
        return None
    own = [option.lstrip("-") for parameter in context.command.params for option in parameter.opts if option.startswith("--")]
    word = plain(name)
    if "option" in own and word in lib.samplers.options():
        return f"{context.command_path} has no option {name}, which is a sampler's own: --option {word}=…"
    near = meant(word, own) or difflib.get_close_matches(word, own, 1)
    known = f"; did you mean {' or '.join(f'--{option}' for option in near)}?" if near else f"; see `{context.command_path} --help`"
    return f"{context.command_path} has no option {name}{known}"
