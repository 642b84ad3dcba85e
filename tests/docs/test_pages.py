"""The pages say what is there."""

from __future__ import annotations

import doctest
import re
import runpy
from pathlib import Path

import yaml

import ramen

ROOT = Path(__file__).parents[2]


def test_the_settings_page_is_what_the_settings_declare():
    generated = runpy.run_path(str(ROOT / "docs" / "settings_page.py"))["page"]()
    same = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == generated
    assert same, "docs/settings.md is out of date: run make docs"


def test_links_lead_to_files_and_headings_of_the_repository():
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("[a-z]*/README.md")):
        for link, anchor in re.findall(r"\]\(([^)\s#:]*)(#[^)\s]+)?\)", page.read_text(encoding="utf-8")):
            target = (page.parent / link) if link else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                assert anchor[1:] in headings(target), f"{page.name}: {link}{anchor}"


def headings(page):
    """The anchors that code hosts and the site give to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_page_is_in_the_navigation():
    entries = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert entries == pages, "mkdocs.yml: nav and docs/ differ"


def test_every_example_is_in_the_index():
    index = (ROOT / "docs/examples.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[`([^`]+)`\]\(\.\./examples/([^)]+)\) \| .{20,} \|$", index, re.MULTILINE)
    assert all(name == target for name, target in listed)
    there = {path.name for path in (ROOT / "examples").iterdir() if path.is_file()}
    assert {name for name, _ in listed} == there, "docs/examples.md: expected a line for each file of examples/"


def test_the_citation_has_the_version_and_licence():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    citation = yaml.safe_load(text)
    assert citation["cff-version"] == "1.2.0" and citation["version"] == ramen.__version__
    assert citation["license"] == "Apache-2.0" and citation["authors"] == [{"name": "The RAMEN developers"}]
    assert {"message", "title", "type", "abstract", "keywords"} <= set(citation)


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
