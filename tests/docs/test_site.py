"""The site is built strictly, without a network, and all its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
LOADS = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
ONLY_NAMES = {"canonical", "next", "prev", "edit"}  # kinds of <link> that a browser does not load


class Page(HTMLParser):
    """The links, loaded files and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        for name in ("src", "href"):
            if (tag, name) in LOADS and values.get(name) and values.get("rel") not in ONLY_NAMES:
                self.loaded.append(values[name])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(out)]
    # A proxy that nobody answers: what asked for the network would fail.
    quiet = {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **quiet, **nowhere}, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def test_links_and_anchors_lead_somewhere(site, pages):
    assert len(pages) > 25
    broken = []
    for path, page in pages.items():
        for link in {*page.links, *page.loaded}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            if path.name == "404.html" and parts.path.startswith("/"):  # served from any depth
                target = site / unquote(parts.path.lstrip("/"))
            else:
                target = (path.parent / unquote(parts.path)) if parts.path else path
            target = (target / "index.html" if target.is_dir() else target).resolve()
            if not target.is_relative_to(site.resolve()) or not target.exists():
                broken.append(f"{path.relative_to(site)}: {link}")
            elif parts.fragment and target.suffix == ".html" and not parts.fragment.startswith("__"):
                if unquote(parts.fragment) not in pages[site / target.relative_to(site.resolve())].anchors:
                    broken.append(f"{path.relative_to(site)}: {link} (no such anchor)")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site, pages):
    loaded = {link for page in pages.values() for link in page.loaded}
    assert any(link.endswith(".css") for link in loaded) and any(link.endswith(".js") for link in loaded)
    assert [link for link in loaded if urlsplit(link).scheme not in ("", "data") or urlsplit(link).netloc] == []
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_the_reference_has_every_public_name(site):
    import ramen

    text = (site / "api/ramen.html").read_text(encoding="utf-8")
    for name in set(ramen.__all__) - {"__version__", "Dataset"}:
        assert f'id="ramen.{name}"' in text, f"docs/api/ramen.md lacks ramen.{name}"
    metrics = (site / "api/metrics.html").read_text(encoding="utf-8")
    for name in ramen.metrics.__all__:
        home = "report.report" if name == "report" else name  # the module has the function's name
        assert f'id="ramen.metrics.{home}"' in metrics, f"docs/api/metrics.md lacks ramen.metrics.{name}"
    data = (site / "api/data.html").read_text(encoding="utf-8")
    for name in set(ramen.data.__all__) - {"load_dataset", "from_lists", "from_frame"}:
        assert f'id="ramen.data.{name}"' in data, f"docs/api/data.md lacks ramen.data.{name}"


def test_docstrings_are_markdown_on_the_site(site):
    for path in (site / "api").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r":(func|class|meth):", text) and "doctest:" not in text, path
        assert "<blockquote>" not in text, path  # a doctest that was read as a quotation


def test_it_can_be_searched(site, pages):
    assert "search/search_index" in "".join(str(path) for path in site.rglob("search_index.json"))
    assert "__search" in pages[site / "index.html"].anchors
