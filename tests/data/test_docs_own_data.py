"""What a reader of docs/own-data.md types works."""

from __future__ import annotations

import re
import subprocess
import textwrap
from pathlib import Path

import pytest

import ramen
from ramen.data import check, from_lists, load_dataset

PAGE = (Path(__file__).parents[2] / "docs/own-data.md").read_text()


@pytest.fixture
def typed(tmp_path, ramen_here):
    """``typed(start, end)``: a shell does that part of the page; what it calls ramen with is called in this process."""

    def call(start: str, end: str) -> None:
        text = textwrap.dedent(PAGE[PAGE.index(start) : PAGE.index(end)])
        noted = tmp_path / "noted"
        noted.unlink(missing_ok=True)
        shell = 'ramen() { printf "%s\\0" "$@" >> noted; echo >> noted; }\n'
        subprocess.run(["bash", "-ec", shell + text], cwd=tmp_path, check=True, timeout=100)
        (command,) = noted.read_text().splitlines()
        done = ramen_here(*command.split("\0")[:-1])
        assert done.returncode == 0, done.stderr

    return call


def test_the_tables_of_the_page_become_sound_folders(tmp_path, typed):
    typed("    cat > recipes.csv", "Of the points a fifth")
    ds = load_dataset(tmp_path / "data/recipes")
    assert (len(ds.train), len(ds.test)) == (15, 4) and ds.graphs["needs"].anchors == [
        "knife",
        "oven",
        "pan",
        "pot",
        "stone",
    ]
    assert check(tmp_path / "data/recipes").problems == []
    typed("    printf 'tag,about", "`--label-graph")
    labels = load_dataset(tmp_path / "data/recipes-2").labels
    assert labels.joined()[labels.uids.index("stew")] == "stew\nthick and cooked for hours"


def test_the_lists_of_the_page_are_a_data_set():
    code = re.search(r"```python\n(.*?)run = ", PAGE, re.S)[1]
    scope: dict = {}
    exec(code, scope)  # noqa: S102
    assert scope["data"].labels.titles == ["baking", "fruit", "soup"] and from_lists


def test_the_rows_of_the_page_are_a_data_set():
    code = re.findall(r"```python\n(.*?)```", PAGE, re.S)[1]
    scope: dict = {"ramen": ramen}
    exec(code, scope)  # noqa: S102
    assert scope["data"].labels.titles == ["baking", "fruit", "soup"]
    assert scope["data"].train.joined()[1] == "pea soup\ndried peas cooked with roots"
    assert scope["data"].graphs["needs"].anchors == ["oven", "pot"]
