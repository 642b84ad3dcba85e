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


def test_the_architecture_names_every_file():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = (
        "data",
        "graph",
        "encoders",
        "mining",
        "heads",
        "scorers",
        "ranking",
        "training",
        "inference",
        "pages",
        "serve",
    )
    for room in rooms:
        for path in (ROOT / "ramen" / room).glob("*.py"):
            named = path.name in page or path.name == "__init__.py"
            assert named, f"docs/architecture.md does not name {path.relative_to(ROOT)}"


def test_the_examples_of_the_metrics_page_give_what_it_says():
    found = doctest.testfile(str(ROOT / "docs/metrics.md"), module_relative=False)
    assert found.attempted > 5 and not found.failed
