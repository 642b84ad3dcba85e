"""A wheel with what it asks for and nothing else: it tags without torch, and says what training needs."""

import importlib.metadata
import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.slow
HEAVY = ("torch", "transformers", "sentence_transformers", "sklearn", "matplotlib", "fastapi")


def closure(requirements):
    """Names of installed distributions that these need, and those of theirs, without extras."""
    found, waiting = set(), [Requirement(line) for line in requirements]
    while waiting:
        wanted = waiting.pop()
        if wanted.name.lower() in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(wanted.name.lower())
        waiting += [Requirement(line) for line in importlib.metadata.requires(wanted.name) or []]
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory, built_wheel):
    """A Python with the wheel and its dependencies: those of this environment, by links, as tests are offline."""
    home = tmp_path_factory.mktemp("small")
    venv.create(home, with_pip=False, symlinks=True)
    (site,) = home.glob("lib/python*/site-packages")
    with zipfile.ZipFile(built_wheel) as archive:
        archive.extractall(site)
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(metadata).decode().partition("\n\n")[0].splitlines()
    needs = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    for name in closure([line for line in needs if "extra ==" not in line]):
        distribution = importlib.metadata.distribution(name)
        for top in {Path(str(file)).parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
            link = site / top
            if not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(top))))
    return home / "bin/python"


def call(python, *arguments, stdin=None):
    return subprocess.run([python, *map(str, arguments)], capture_output=True, text=True, input=stdin, cwd="/")


def test_it_is_small(small):
    code = f"import importlib.util as u; print([name for name in {HEAVY} if u.find_spec(name)])"
    assert call(small, "-c", code).stdout == "[]\n"


def test_it_tags(small, finished_run):
    here = call(sys.executable, "-m", "ramen.cli.main", "tag", finished_run, "lead acid battery")
    done = call(small, "-m", "ramen.cli.main", "tag", finished_run, "lead acid battery")
    assert done.returncode == 0, done.stderr
    ours, theirs = (json.loads(one.stdout)["labels"] for one in (done, here))
    assert [label["uid"] for label in ours] == [label["uid"] for label in theirs]


def test_it_measures_and_indexes(small, finished_run, planted, tmp_path):
    done = call(small, "-m", "ramen.cli.main", "eval", finished_run, "--data", planted, "--json", tmp_path / "f.json")
    assert done.returncode == 0, done.stderr
    assert call(small, "-m", "ramen.cli.main", "data", "check", planted).returncode == 0
    assert call(small, "-m", "ramen.cli.main", "labels", "list", finished_run).stdout.count("\n") == 120


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("train", "{data}", "--out", "{out}"), "train"),
        (("serve", "{run}"), "serve"),
        (("data", "check", "{data}", "--html", "{out}"), "plot"),
    ],
)
def test_what_is_missing_is_named_with_its_extra(small, finished_run, planted, tmp_path, arguments, extra):
    names = {"data": planted, "out": tmp_path / "out", "run": finished_run}
    done = call(small, "-m", "ramen.cli.main", *(argument.format(**names) for argument in arguments))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"pip install 'ramen-xc[{extra}]'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_library_says_so_too(small, finished_run):
    code = "import sys, ramen; ramen.load_encoder(sys.argv[1])"
    assert "InputError" in (done := call(small, "-c", code, finished_run)).stderr and "ramen-xc[train]" in done.stderr


def test_it_copies_a_run_as_it_is_shared(small, finished_run, tmp_path):
    code = "import sys, ramen; ramen.load(sys.argv[1]).save_pretrained(sys.argv[2])"
    done = call(small, "-c", code, finished_run, tmp_path / "copy")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy" / "README.md").is_file() and (tmp_path / "copy" / "manifest.json").is_file()
