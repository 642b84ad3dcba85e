"""docs/hlm.md lists every setting; the example loads."""

from __future__ import annotations

from pathlib import Path

from hlm_bridge.config import HlmConfig, load_hlm_config
from ramen.settings import as_tree, flat

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_lists_every_setting_with_its_default():
    page = (ROOT / "docs" / "hlm.md").read_text()
    for key, value in flat(as_tree(HlmConfig())):
        assert f"| `{key}` | `{value}` |" in page, key


def test_the_example_loads():
    config = load_hlm_config(ROOT / "examples" / "hlm.yaml")
    assert config.teacher.label_map and config.align.student == "static"
