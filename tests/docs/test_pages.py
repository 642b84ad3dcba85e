"""The pages say what is there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from ramen.config import Config
from ramen.settings import as_tree

ROOT = Path(__file__).parents[2]


def test_the_settings_page_lists_every_key_with_its_default():
    page = (ROOT / "docs" / "settings.md").read_text()
    listed = dict(re.findall(r"^\| `([A-Za-z0-9_.]+)` \| `([^`]*)` \|", page, re.M))
    sections = {key: value for key, value in as_tree(Config()).items() if isinstance(value, dict)}
    assert listed == {f"{key}.{name}": str(value) for key, values in sections.items() for name, value in values.items()}


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
