"""The pages say what is there."""

from __future__ import annotations

import doctest
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_settings_page_is_what_the_settings_declare():
    generated = runpy.run_path(str(ROOT / "docs" / "settings_page.py"))["page"]()
    same = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == generated
    assert same, "docs/settings.md is out of date: run make docs"


def test_relative_links_lead_somewhere():
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_architecture_names_every_room_and_only_files_that_exist():
    page = (ROOT / "docs" / "architecture.md").read_text()
    for room in (ROOT / "ramen").iterdir():
        if (room / "__init__.py").exists():
            assert f"ramen/{room.name}" in page, f"docs/architecture.md does not name ramen/{room.name}"
    files = [
        path.as_posix() for top in ("ramen", "hlm_bridge", "datasets", "tests") for path in (ROOT / top).rglob("*.py")
    ]
    named = set(re.findall(r"`([\w/]+\.py)`", page))
    assert len(named) > 15
    for name in named - {"datasets/recipes/NAME.py"}:
        assert any(path.endswith("/" + name) for path in files), f"docs/architecture.md names {name}, expected a file"


def test_the_examples_of_the_metrics_page_give_what_it_says():
    found = doctest.testfile(str(ROOT / "docs/metrics.md"), module_relative=False)
    assert found.attempted > 5 and not found.failed
