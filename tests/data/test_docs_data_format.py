"""The folder a reader of docs/data-format.md types is sound."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

from ramen.data import check

PAGE = Path(__file__).parents[2] / "docs" / "data-format.md"


def test_the_example_of_the_page_is_a_sound_folder(tmp_path):
    text = PAGE.read_text()
    start, end = text.index("    mkdir -p fruit"), text.index("&& ramen data check fruit")
    subprocess.run(["sh", "-e", "-c", textwrap.dedent(text[start:end])], cwd=tmp_path, check=True)
    report = check(tmp_path / "fruit")
    assert report.problems == []
    assert report.statistics["n_labels"] == 4 and report.statistics["graphs"]["colour"]["nodes"] == 2
