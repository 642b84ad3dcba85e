"""Write the generated part of settings.md: ``make docs``.

The introduction, up to the line that marks where the generated part starts, is kept as it is.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from ramen.config import PRESETS, Config
from ramen.settings import as_tree, flat, settings_table, shown

PAGE = Path(__file__).with_name("settings.md")
MARK = "<!-- Generated from ramen/config.py and ramen/presets by `make docs`: do not edit below. -->"


def page() -> str:
    """The text of the page: the introduction as it is on disk, the presets, and a table for each section."""
    introduction = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    return f"{introduction}{MARK}\n\n{presets_table()}\n{settings_table(Config())}"


def presets_table() -> str:
    """What each preset changes, as Markdown; a preset's description is the comment at the top of its file."""
    defaults = dict(flat(as_tree(Config())))
    parts = ["## Presets\n"]
    for path in sorted(PRESETS.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        comment = " ".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
        changes = {key: value for key, value in flat(yaml.safe_load(text)) if value != defaults[key]}
        parts.append(f"### {path.stem}\n\n{comment}\n")
        if changes:
            rows = [f"| `{key}` | {shown(defaults[key])} | {shown(value)} |" for key, value in changes.items()]
            parts.append("\n".join(["| key | default | preset |", "|---|---|---|", *rows]) + "\n")
        else:
            parts.append("Changes nothing: it is the defaults below.\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
