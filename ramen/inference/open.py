"""Opens a run by its folder or by its name on the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ramen.errors import InputError

if TYPE_CHECKING:
    from ramen.inference.tagger import Tagger

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def load(run: str | Path, revision: str | None = None, token: str | bool | None = None) -> Tagger:
    """Load a run from its folder, or from the Hugging Face hub.

    Args:
        run: a folder; or, where there is none, ``USER/NAME`` on the hub. Downloads stay in the hub's cache.
        revision: on the hub: branch, tag or commit; None: the latest of ``main``.
        token: of the hub; None: that of ``hf auth login`` or ``HF_TOKEN``.

    Raises:
        InputError: there is neither such a folder nor such a repository, it may not be read, or it holds no run; a file
            is missing, altered or damaged.
        WorkError: the hub cannot be reached, and the cache has no copy.

    Example:
        ``ramen.load("USER/NAME").tag(["lead acid battery charger"])``
    """
    from ramen.inference.tagger import Tagger  # only here: finding a folder takes no kernels

    return Tagger.load(local_folder(run, revision, token))


def local_folder(run: str | Path, revision: str | None = None, token: str | bool | None = None) -> Path:
    """Return the folder of a run; of one on the hub that of its download.

    ``a/b`` is a name on the hub only if there is no folder ``a``, so that a misspelt path asks nobody.

    Raises:
        InputError: a revision of a folder; and as of :func:`load`.
        WorkError: as of :func:`load`.

    Example:
        ``local_folder("runs/a")`` is ``Path("runs/a")``.
    """
    path = Path(run)
    is_name = _HUB_ID.fullmatch(str(run)) and not path.exists() and not path.parent.is_dir()
    if not is_name:
        if revision is not None:
            raise InputError(f"{run}: found revision {revision!r} of a folder, expected one with USER/NAME on the hub")
        return path
    from ramen.inference.hub import download_run  # only here: it takes as long to import as a run takes to load

    return download_run(str(run), revision, token)
