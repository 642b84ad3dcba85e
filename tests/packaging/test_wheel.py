"""What is installed, and what must never be."""

import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(built_wheel):
    """Names in the wheel."""
    with zipfile.ZipFile(built_wheel) as archive:
        return archive.namelist()


@pytest.mark.slow
def test_wheel_brings_three_top_level_names_at_most(wheel):
    tops = {name.split("/")[0] for name in wheel}
    code = {top for top in tops if not top.endswith(".dist-info")}
    assert "ramen" in code
    assert code <= {"ramen", "hlm_bridge", "attention_wnet"}


@pytest.mark.slow
def test_wheel_holds_every_package_file_of_the_clone(wheel, tracked_files):
    """Also catches a folder without ``__init__.py``, which find_packages passes over."""
    moved = {"datasets/cards/": "ramen/data/card_files/", "datasets/recipes/": "ramen/data/recipes/"}
    expected = set()
    for file in tracked_files:
        name = file.as_posix()
        for clone, installed in moved.items():
            name = name.replace(clone, installed) if name.startswith(clone) else name
        if name.startswith(("ramen/", "hlm_bridge/", "attention_wnet/")) and file.suffix in {
            ".py",
            ".yaml",
            ".html",
            ".typed",
        }:
            expected.add(name)
    assert any(name.startswith("ramen/data/card_files/") and name.endswith(".yaml") for name in expected)
    assert any(name.startswith("ramen/data/recipes/") for name in expected)
    assert {"ramen/py.typed", "hlm_bridge/py.typed"} <= expected
    assert expected <= set(wheel)


@pytest.mark.parametrize("folder", ["datasets", "tests", "benchmarks"])
def test_folders_that_are_no_packages(folder):
    assert not (ROOT / folder / "__init__.py").exists()


def test_only_the_checks_know_where_shared_data_lies(tracked_files):
    mention = b"../" + b"shared"
    found = [file.as_posix() for file in tracked_files if mention in (ROOT / file).read_bytes()]
    assert found == [".ci/run"]


def test_constraints_are_plain_pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines[0].startswith("torch==")
    assert all(len(line.split("==")) == 2 and "/" not in line for line in lines)


def test_ramen_does_not_know_the_segmenter(tracked_files):
    code = [file for file in tracked_files if file.parts[0] in ("ramen", "hlm_bridge") and file.suffix == ".py"]
    assert len(code) > 50
    assert [file for file in code if "attention_wnet" in (ROOT / file).read_text()] == []
