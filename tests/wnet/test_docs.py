"""The package's page says what the package does."""

import re
from pathlib import Path

from attention_wnet.config import WNetConfig
from ramen.settings import as_tree, flat

PAGE = Path(__file__).resolve().parents[2] / "attention_wnet" / "README.md"


def test_the_page_lists_every_setting_with_its_default():
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        keys = re.findall(r"`([a-z_.]+)`", cells[0])
        if len(cells) == 3 and keys:
            values = cells[1].split(", ")
            found.update(zip(keys, values * len(keys) if len(values) == 1 else values, strict=False))
    known = dict(flat(as_tree(WNetConfig())))
    del known["data"]
    assert {
        key: float(value) if value not in ("true", "false") else value == "true" for key, value in found.items()
    } == {key: value if isinstance(value, bool) else float(value) for key, value in known.items()}


def test_relative_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text(encoding="utf-8"))
    assert all((PAGE.parent / link).exists() for link in links)
