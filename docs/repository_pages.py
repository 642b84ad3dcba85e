"""A hook of mkdocs: what the pages link to outside of docs/ becomes part of the site.

The same links thus work in the repository and on the site. A Markdown file becomes a page, an image is copied, and
any other file or folder is shown as text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")
_PICTURES = (".png", ".jpg", ".svg")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
_INSIDE = "repository/"  # the folder of the site that holds them


def on_files(files: Files, config: Any) -> Files:
    """Add what is linked to, and what that links to."""
    waiting = [path for file in files.documentation_pages() for path in _outside("docs/" + file.src_uri)]
    added = set()
    while waiting:
        path = waiting.pop()
        if path in added:
            continue
        added.add(path)
        if path.endswith(_PICTURES):
            files.append(File.generated(config, _INSIDE + path, abs_src_path=str(ROOT / path)))
            continue
        files.append(File.generated(config, _on_site(path), content=_text(path)))
        if path.endswith(".md"):
            waiting += _outside(path)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point the links of a page to where the site has their targets."""
    source = page.file.src_uri
    here = source.removeprefix(_INSIDE) if source.startswith(_INSIDE) else "docs/" + source

    def moved(link: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link[2]))
        found = posixpath.relpath(_on_site(target), posixpath.dirname(source) or ".")
        return f"{link[1]}{found}{link[3] or ''}{link[4]}"

    return _LINK.sub(moved, markdown)


def _on_site(path: str) -> str:
    """Return where the site has a file of the repository, as a source of mkdocs."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return _INSIDE + path + ("" if path.endswith((".md", *_PICTURES)) else ".md")


def _outside(path: str) -> list[str]:
    """Return the files and folders of the repository, but those of docs/, that a page links to."""
    links = _LINK.findall((ROOT / path).read_text(encoding="utf-8"))
    targets = {posixpath.normpath(posixpath.join(posixpath.dirname(path), link[1])) for link in links}
    return sorted(target for target in targets if not target.startswith("docs/") and (ROOT / target).exists())


def _text(path: str) -> str:
    """Return the page that shows a file, or the files of a folder."""
    if path.endswith(".md"):
        return (ROOT / path).read_text(encoding="utf-8")
    files = sorted(one for one in (ROOT / path).iterdir() if one.is_file()) if (ROOT / path).is_dir() else [ROOT / path]
    shown = [f"# {path}\n"]
    for file in files:
        shown.append(f"## {file.name}\n" if len(files) > 1 else "")
        shown.append(f"``````{_LANGUAGES.get(file.suffix, 'text')}\n{file.read_text(encoding='utf-8')}\n``````\n")
    return "\n".join(shown)
