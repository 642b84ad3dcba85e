"""What is installed, and what must never be."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names in a wheel built from a copy, so that no build folder of the clone leaks in or stays behind."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for file in tracked_files():
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).write_bytes((ROOT / file).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(out), "."]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def tracked_files():
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git clone")
    return [Path(line) for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def test_wheel_brings_two_top_level_names_at_most(wheel):
    tops = {name.split("/")[0] for name in wheel}
    code = {top for top in tops if not top.endswith(".dist-info")}
    assert "ramen" in code
    assert code <= {"ramen", "hlm_bridge"}


def test_wheel_holds_every_package_file_of_the_clone(wheel):
    """Also catches a folder without ``__init__.py``, which find_packages passes over."""
    moved = {"datasets/cards/": "ramen/data/card_files/", "datasets/recipes/": "ramen/data/recipes/"}
    expected = set()
    for file in tracked_files():
        name = file.as_posix()
        for clone, installed in moved.items():
            name = name.replace(clone, installed) if name.startswith(clone) else name
        if name.startswith(("ramen/", "hlm_bridge/")) and file.suffix in {".py", ".yaml", ".html"}:
            expected.add(name)
    assert any(name.startswith("ramen/data/card_files/") and name.endswith(".yaml") for name in expected)
    assert any(name.startswith("ramen/data/recipes/") for name in expected)
    assert expected <= set(wheel)


@pytest.mark.parametrize("folder", ["datasets", "tests", "benchmarks"])
def test_folders_that_are_no_packages(folder):
    assert not (ROOT / folder / "__init__.py").exists()


def test_only_the_checks_know_where_shared_data_lies():
    mention = b"../" + b"shared"
    found = [file.as_posix() for file in tracked_files() if mention in (ROOT / file).read_bytes()]
    assert found == [".ci/run"]


def test_constraints_are_plain_pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines[0].startswith("torch==")
    assert all(len(line.split("==")) == 2 and "/" not in line for line in lines)
