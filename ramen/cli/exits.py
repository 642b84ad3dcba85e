"""Converts errors of a command to messages and exit codes.

Exit codes: 0 done, 1 the work failed, 2 invalid call or input, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import gc
import sys
from typing import NoReturn, cast

import typer

from ramen.cli.console import Stopped, print_anything, say, set_threads
from ramen.errors import InputError, WorkError

INTERRUPTED = 130

# Some versions of typer bundle click, others import it; this is the ClickException of either.
_CallError = cast(type[Exception], typer.BadParameter.__mro__[2])


def exits(app: typer.Typer, name: str) -> NoReturn:
    """Run a command line and exit with its code; an expected error is one line on stderr.

    Args:
        app: the verbs.
        name: of the program.
    """
    print_anything()
    gc.set_threshold(50_000)  # imports create hundreds of thousands of permanent objects
    try:
        set_threads()
        code = app(prog_name=name, standalone_mode=False) or 0
        if code == INTERRUPTED:  # typer turns Ctrl-C into this code
            say(f"{name}: stopped")
    except Stopped as error:
        code = _fail(name, str(error), INTERRUPTED)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail(name, "stopped", INTERRUPTED)
    except _CallError as error:
        code = _fail(name, _call_error(error), 2)
    except InputError as error:
        code = _fail(name, str(error), 2)
    except WorkError as error:
        code = _fail(name, str(error), 1)
    except UnicodeEncodeError as error:  # of a library that takes UTF-8 alone, or of a file in UTF-8
        problem = "bytes that are not UTF-8, or not in this locale; name it otherwise, or set LC_ALL=C.UTF-8"
        code = _fail(name, f"{error.object!r:.200}: {problem}", 2)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        code = _fail(name, f"{error.strerror or error}{where}", 1)
    if code == INTERRUPTED:
        # Python remembers an interrupt that passed through exec(), as of a dataclass that was being imported, and would
        # end by the signal although it was caught here; another exec() forgets it.
        exec("pass")
    gc.freeze()  # skips a final collection, which takes a quarter of a second
    sys.exit(code)


def _call_error(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context else ""
    return error.format_message().rstrip(".") + hint  # type: ignore[attr-defined]


def _fail(name: str, message: str, code: int) -> int:
    say(f"{name}: " + " ".join(message.split("\n")))
    return code
