"""Help pages, wrong calls, and what every kind of error looks like."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ramen as library  # the fixture ramen is the command line
from ramen._version import __version__
from ramen.errors import InputError, WorkError
from ramen.inference import evaluation

VERBS = [
    *[
        ("data", "prepare"),
        ("data", "check"),
        ("train",),
        ("plan",),
        ("eval",),
        ("index",),
        ("check",),
        ("tag",),
        ("serve",),
    ],
    *[("labels", "add"), ("labels", "remove"), ("labels", "rename"), ("labels", "list")],
    *[("push",), ("pull",)],
    *[("cache", "show"), ("cache", "clear")],
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help_ends_with_two_examples_of_the_verb(ramen, verb):
    done = ramen(*verb, "--help")
    assert done.returncode == 0
    *_, title, first, second = done.stdout.rstrip().split("\n")
    assert title.strip() == "Examples:"
    for example in (first, second):
        assert example.strip().startswith(" ".join(["ramen", *verb]))


def test_version_comes_from_the_installed_command():
    command = shutil.which("ramen", path=str(Path(sys.executable).parent))
    assert command, "the console script is not installed"
    done = subprocess.run([command, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"ramen {__version__}\n")


def test_help_loads_no_training_code(ramen_process):
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(sorted({'torch', 'numpy', 'transformers'} & set(sys.modules))))\n"
    )
    done = ramen_process("--help", code=code)
    assert done.returncode == 0
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command (see ramen --help)"),
        (["tarin"], "No such command 'tarin'"),
        (["train"], "Missing argument"),
        (["train", "d"], "Missing option '--out'"),
        (["train", "d", "--out", "r", "--sed", "1"], "No such option: --sed"),
        (["train", "d", "--out", "r", "--seed", "x"], "Invalid value for '--seed'"),
        (["train", "d", "--out", "r", "epochs"], "argument 'epochs': expected key=value"),
        (["train", "d", "--out", "r", "a=1", "a=2"], "argument 'a=2': a was given before as '1'"),
        (["tag", "r", "--k", "0"], "Invalid value for '--k'"),
        (["eval", "r", "--data", "d", "--json", "no/such.json"], "--json no/such.json: folder no is missing"),
        (["data", "prepare", "planted", "--out", "o", "=3"], "argument '=3': expected key=value"),
    ],
)
def test_wrong_call_is_one_line_and_exit_code_2(ramen, arguments, message):
    done = ramen(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ramen: ") and done.stderr.count("\n") == 1
    assert message in done.stderr


def failing(error):
    def fail(*arguments, **options):
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("trn.json: row 3: no uid"), 2, "ramen: trn.json: row 3: no uid"),
        (WorkError("loss is NaN"), 1, "ramen: loss is NaN"),
        (
            OSError(errno.ENOSPC, "No space left on device", "r/head"),
            1,
            "ramen: No space left on device: r/head",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "r"), 1, "ramen: Permission denied: r"),
        (
            KeyboardInterrupt(),
            130,
            "ramen: stopped; to go on: ramen train 'my data' --out r dense.epochs=2 --resume",
        ),
    ],
)
def test_expected_errors_are_one_line(ramen, monkeypatch, error, code, line):
    monkeypatch.setattr(library, "train", failing(error))
    done = ramen("train", "my data", "--out", "r", "dense.epochs=2")
    assert (done.returncode, done.stderr, done.stdout) == (code, line + "\n", "")


def test_a_bug_keeps_its_traceback(ramen_process):
    code = "import ramen\ndef train(*arguments, **options):\n    raise IndexError('oops')\nramen.train = train"
    done = ramen_process("train", "d", "--out", "r", code=code)
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "IndexError: oops" in done.stderr


def test_train_passes_its_options_on_and_names_the_next_command(ramen, monkeypatch):
    asked = []

    def train(data, **options):
        asked.append((str(data), options))
        return options["out"]

    monkeypatch.setattr(library, "train", train)
    arguments = ["d", "--out", "r", "--graphs", "a,b", "--seed", 7, "x.y=1"]
    verbosity = {(): 1, ("--verbose",): 2, ("--quiet",): 0}
    told = [ramen("train", *arguments, *options) for options in verbosity]
    assert [done.returncode for done in told] == [0, 0, 0]
    options = {"graphs": "a,b", "out": Path("r"), "overrides": ["x.y=1"], "preset": "static"}
    options |= {"resume": False, "seed": 7, "on_log": None}
    assert asked == [("d", {**options, "verbose": verbose}) for verbose in verbosity.values()]
    # Without an option the story, which is no part of this train, names the next commands.
    assert [done.stderr for done in told] == ["", "next: ramen eval r --data d\n", ""]


def test_eval_prints_a_table_and_writes_json(ramen, monkeypatch, tmp_path):
    test = {f"{m}@{k}": 12.25 for m in ("P", "nDCG", "R", "PSP", "PSnDCG", "PSR") for k in (1, 3, 5, 10)}
    test["R@100"] = 56.75
    intervals = dict.fromkeys(test, (10.0, 20.0))
    figures = {"test": test, "intervals": intervals, "propensity": {"A": 0.55, "B": 1.5, "source": "card of x"}}
    for name, value in {"rankings": {"": None}, "measure": figures, "save_metrics": None}.items():
        monkeypatch.setattr(evaluation, name, lambda *args, value=value: value)
    monkeypatch.setattr(library, "load_dataset", str)
    (tmp_path / "f.json").write_text("older")
    done = ramen("eval", "r", "--data", "d", "--json", "f.json")
    assert done.returncode == 0, done.stderr
    header, *rows, intervals = done.stdout.splitlines()
    assert header.split() == ["@1", "@3", "@5", "@10"]
    assert intervals.startswith("95 %: P@1 10.0 to 20.0, P@5 10.0")
    assert [row.split()[0] for row in rows] == ["P", "nDCG", "R", "PSP", "PSnDCG", "PSR"]
    assert rows[0].split()[1:] == ["12.25"] * 4
    assert rows[2].split()[1:] == ["12.25"] * 4 + ["@100", "56.75"]
    assert rows[3].endswith("A 0.55, B 1.5 (card of x)")
    assert '"source": "card of x"' in (tmp_path / "f.json").read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["f.json"]


def test_an_interrupt_within_exec_ends_with_its_code(tmp_path):
    """Python would end by the signal: a dataclass is made by exec, and imports make many."""
    (tmp_path / "stopped.py").write_text(
        "import typer\n"
        "from ramen.cli.exits import exits\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def go():\n"
        "    exec('raise KeyboardInterrupt')\n"
        "exits(app, 'x')\n"
    )
    done = subprocess.run([sys.executable, "-m", "stopped"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "x: stopped\n")
