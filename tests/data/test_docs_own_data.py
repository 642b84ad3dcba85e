"""What a reader of docs/own-data.md types works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from ramen.data import check, from_lists, load_dataset

PAGE = (Path(__file__).parents[2] / "docs/own-data.md").read_text()


def typed(start: str, end: str, folder: Path) -> None:
    text = textwrap.dedent(PAGE[PAGE.index(start) : PAGE.index(end)])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-ec", text], cwd=folder, check=True, env={**os.environ, "PATH": path}, timeout=100)


def test_the_tables_of_the_page_become_sound_folders(tmp_path):
    typed("    cat > recipes.csv", "Of the points a fifth", tmp_path)
    ds = load_dataset(tmp_path / "data/recipes")
    assert (len(ds.train), len(ds.test)) == (15, 4) and ds.graphs["needs"].anchors == [
        "knife",
        "oven",
        "pan",
        "pot",
        "stone",
    ]
    assert check(tmp_path / "data/recipes").problems == []
    typed("    printf 'tag,about", "`--label-graph", tmp_path)
    labels = load_dataset(tmp_path / "data/recipes-2").labels
    assert labels.titles[labels.uids.index("stew")] == "thick and cooked for hours"


def test_the_lists_of_the_page_are_a_data_set():
    code = re.search(r"```python\n(.*?)run = ", PAGE, re.S)[1]
    scope: dict = {}
    exec(code, scope)  # noqa: S102
    assert scope["data"].labels.titles == ["baking", "fruit", "soup"] and from_lists
