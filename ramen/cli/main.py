"""The command ``ramen``: its verbs."""

from __future__ import annotations

from typing import NoReturn

from ramen.cli import cache, check, data, evaluate, index, labels, plan, serve, share, tag, train
from ramen.cli.console import quiet_libraries
from ramen.cli.exits import exits
from ramen.cli.shell import make_app

EXAMPLES = """\b
Examples:
  ramen data prepare planted --out data/planted
  ramen train data/planted --preset static --out runs/planted
"""

app = make_app(
    "ramen",
    "Extreme classification: train on a data set, evaluate, tag texts.",
    EXAMPLES,
)
app.add_typer(data.app, name="data", epilog=data.PREPARE_EXAMPLES)
app.command("plan", epilog=plan.EXAMPLES)(plan.plan)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("eval", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("check", epilog=check.EXAMPLES)(check.check)
app.command("index", epilog=index.EXAMPLES)(index.index)
app.add_typer(labels.app, name="labels", epilog=labels.ADD_EXAMPLES)
app.command("tag", epilog=tag.EXAMPLES)(tag.tag)
app.command("serve", epilog=serve.EXAMPLES, context_settings={"auto_envvar_prefix": serve.PREFIX})(serve.serve)
app.command("push", epilog=share.PUSH_EXAMPLES)(share.push)
app.command("pull", epilog=share.PULL_EXAMPLES)(share.pull)
app.add_typer(cache.app, name="cache", epilog=cache.SHOW_EXAMPLES)


def main() -> NoReturn:
    """Run the command line and exit with its code; an expected error is one line on stderr."""
    quiet_libraries()
    exits(app, "ramen")


if __name__ == "__main__":
    main()
