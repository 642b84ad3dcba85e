"""From a package index to tags: every step is a command, shown before it runs. Called by ``make demo``.

Data goes to ``data/`` and the run to ``runs/demo`` of the folder it is started in. What is there already is used.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

from ramen.data import load_dataset
from ramen.data.prepare import NoIndex, prepare
from ramen.errors import InputError, WorkError

DEBIAN, PLANTED = Path("data/debian"), Path("data/planted")
INTERRUPTED = 130

# Invented packages, in the form of the data set: "name - synopsis", a newline, the description.
PACKAGES = [
    "pagepress - build PDF books from LaTeX sources\n"
    "pagepress watches a folder of LaTeX chapters, runs the typesetter and the bibliography as often as needed, and "
    "shows the resulting PDF beside the first error.",
    "rowkeeper - nightly copies of PostgreSQL databases\n"
    "A small daemon that dumps PostgreSQL databases, compresses and encrypts the dumps, and keeps as many days of them "
    "as the administrator asks for. It reports by mail.",
    "birdscope - record and draw bird song\n"
    "Records sound from a microphone, shows the spectrum of a song while it is sung, and saves FLAC or Ogg Vorbis "
    "files with notes about place and hour.",
]


def main() -> int:
    """Run the steps that are left; returns the exit code of the first that fails, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="run folder (default %(default)s)")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings of the training")
    options = parser.parse_args()
    try:
        data = _data(options.out)
        _train(data, options.out, options.settings)
        _ramen("eval", options.out, "--data", data)
        _tag(data, options.out)
    except subprocess.CalledProcessError as error:  # the command has said why
        return error.returncode if error.returncode > 0 else 128 - error.returncode
    except (InputError, WorkError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("demo: stopped; start it again to go on", file=sys.stderr)
        return INTERRUPTED
    _next_commands(data, options.out)
    return 0


def _data(out: Path) -> Path:
    """The folder of the data set, which is prepared where there is none."""
    if DEBIAN.is_dir():
        _say(f"{DEBIAN} is there: not prepared again")
        return DEBIAN
    if PLANTED.is_dir() and (out / "config.yaml").exists():  # an earlier demo had no package index
        _say(f"{PLANTED} is there: not prepared again")
        return PLANTED
    try:
        return _prepare("debian", DEBIAN)
    except NoIndex as error:
        _say(f"{error}; going on with invented texts (recipe planted)")
    return PLANTED if PLANTED.is_dir() else _prepare("planted", PLANTED)


def _prepare(recipe: str, folder: Path) -> Path:
    _show("data", "prepare", recipe, "--out", folder)
    # apt's complaints (E:, W:) only matter where they end in NoIndex, whose message has the first.
    prepare(recipe, folder, report=lambda line: None if line.startswith(("E:", "W:")) else _say(line))
    return folder


def _train(data: Path, out: Path, settings: list[str]) -> None:
    if (out / "manifest.json").exists():
        _say(f"{out} holds a finished run: not trained again (remove the folder to train anew)")
        return
    resume = ["--resume"] if (out / "config.yaml").exists() else []
    # Fixed weights of the graphs: choosing them takes as long again.
    _ramen("train", data, "--preset", "static", "--out", out, *resume, "graph.lambda=fixed", *settings)


def _tag(data: Path, out: Path) -> None:
    texts = PACKAGES if data == DEBIAN else load_dataset(data).test.titles[:3]
    _say("\nWhat the next command prints, one JSON object per text, is shown here as a list.")
    for line in _ramen("tag", out, "--k", "5", *texts, capture=True).splitlines():
        tagged = json.loads(line)
        _say("\n" + tagged["text"].partition("\n")[0])
        for label in tagged["labels"]:
            _say(f"  {label['score']:7.3f}  {label['text']}")


def _next_commands(data: Path, out: Path) -> None:
    _say("\nNext:")
    for command in (
        f"ramen tag {shlex.quote(str(out))} 'a text of your own'",
        f"ramen data check {data}",
        f"ramen train {data} --out runs/plain --graphs none    # the same without the graphs, to compare",
        "python examples/own_texts.py                           # texts and labels from Python lists",
    ):
        _say(f"  {command}")
    if Path(".venv/bin/activate").exists():
        _say("after: . .venv/bin/activate")


def _ramen(*arguments: str | Path, capture: bool = False) -> str:
    """Show and run one command; returns its stdout where captured.

    Raises:
        subprocess.CalledProcessError: its exit code is not 0.
        KeyboardInterrupt: Ctrl-C, once the command has saved its state and ended.
    """
    _show(*arguments)
    command = [sys.executable, "-m", "ramen.cli.main", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE if capture else None, text=True) as process:
        try:
            output, _ = process.communicate()
        except KeyboardInterrupt:
            process.wait()  # the terminal has sent it the same signal
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return output or ""


def _show(*arguments: str | Path) -> None:
    _say("\n$ " + shlex.join(["ramen", *map(str, arguments)]))


def _say(line: str) -> None:
    print(line, flush=True)  # before what a command prints


if __name__ == "__main__":
    sys.exit(main())
