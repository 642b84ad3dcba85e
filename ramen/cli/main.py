"""The command ``ramen``: its verbs, and what an error looks like.

Exit codes: 0 done, 1 the work failed, 2 the call or its input was wrong, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn, cast

import typer

from ramen._version import __version__
from ramen.cli import cache, data, evaluate, tag, train
from ramen.cli.console import Stopped, quiet_libraries, say, show
from ramen.errors import InputError, WorkError

EXAMPLES = """\b
Examples:
  ramen data prepare planted --out data/planted
  ramen train data/planted --preset static --out runs/planted
"""

INTERRUPTED = 130

# Typer carries a click of its own in some versions and imports click in others; this is ClickException of either.
_CallError = cast(type[Exception], typer.BadParameter.__mro__[2])

app = typer.Typer(
    help="Extreme classification: train on a data set, evaluate, tag texts.",
    epilog=EXAMPLES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data", epilog=data.PREPARE_EXAMPLES)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("eval", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("tag", epilog=tag.EXAMPLES)(tag.tag)
app.add_typer(cache.app, name="cache", epilog=cache.SHOW_EXAMPLES)


def _show_version(wanted: bool) -> None:
    if wanted:
        show(f"ramen {__version__}")
        raise typer.Exit


@app.callback()
def _ramen(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line and exit with its code; an expected error is one line on stderr."""
    quiet_libraries()
    try:
        code = app(prog_name="ramen", standalone_mode=False) or 0
        if code == INTERRUPTED:  # typer turns Ctrl-C into this code
            say("ramen: stopped")
    except Stopped as error:
        code = _fail(str(error), INTERRUPTED)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("stopped", INTERRUPTED)
    except _CallError as error:
        code = _fail(_call_error(error), 2)
    except InputError as error:
        code = _fail(str(error), 2)
    except WorkError as error:
        code = _fail(str(error), 1)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        code = _fail(f"{error.strerror or error}{where}", 1)
    sys.exit(code)


def _call_error(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context else ""
    return error.format_message().rstrip(".") + hint  # type: ignore[attr-defined]


def _fail(message: str, code: int) -> int:
    say("ramen: " + " ".join(message.split("\n")))
    return code


if __name__ == "__main__":
    main()
