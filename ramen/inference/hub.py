"""Runs on the Hugging Face hub: download, and upload by the hub's own mixin, with one clear error for each failure."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import ModelHubMixin, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ramen.errors import InputError, WorkError
from ramen.files import clear_errors
from ramen.inference import index, journal
from ramen.inference.model_card import CARD, write_card
from ramen.inference.run import LABELS, MANIFEST, check_run, files_of
from ramen.inference.tagger import Tagger

_BESIDE = ("config.yaml", "metrics.json", CARD)  # what the manifest does not list: people may edit it
_FOLDERS = ("encoder", "words", "scorers", "ranking", index.FOLDER, journal.FOLDER)
_WANTED = (MANIFEST, LABELS, *_BESIDE, *(f"{folder}/*" for folder in _FOLDERS))
_LOG_IN = "log in with hf auth login, set HF_TOKEN, or pass a token"
_REFUSED = (401, 403)
# Of the HTTP library, whichever the hub's own one uses: also where nothing answers.
_CLIENT_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]


def download_run(repo_id: str, revision: str | None = None, token: str | bool | None = None, **options: Any) -> Path:  # noqa: ANN401
    """Download a run into the hub's cache and return its folder there; only files of a run are fetched.

    Args:
        repo_id: ``USER/NAME``.
        revision: branch, tag or commit; None: the latest of ``main``.
        token: of the hub; None: that of ``hf auth login`` or ``HF_TOKEN``.
        options: more of :func:`huggingface_hub.snapshot_download`, such as ``cache_dir`` or ``local_files_only``.

    Raises:
        InputError: there is no such repository or revision, it may not be read, or holds no run.
        WorkError: the hub cannot be reached, or fails.

    Example:
        ``download_run("USER/NAME", revision="v1")``
    """
    with _clear_errors(repo_id, f"revision {revision!r}"):
        folder = Path(snapshot_download(repo_id, revision=revision, token=token, allow_patterns=[*_WANTED], **options))
    if not (folder / MANIFEST).exists():
        raise InputError(f"{repo_id}: found no {MANIFEST} in the repository, expected a run")
    return folder


def copy_run(run: Path, folder: Path) -> None:
    """Copy a finished run, with its index, added labels and card, into a new or empty folder, and check the copy.

    Raises:
        InputError: there is no finished run, the folder is not empty, or the copy is not what the manifest lists.
        WorkError: the disk is full.

    Example:
        ``copy_run(Path("runs/a"), Path("copies/a"))``
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: found files there, expected a new or empty folder")
    check_run(run, check="none")
    with clear_errors(folder):
        for name in _files(run):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(run / name, target)  # with its time, by which a load knows that the index fits
    write_card(folder)
    check_run(folder)


def _files(run: Path) -> list[str]:
    """Return the files that make a run: not its log, which has paths of this machine, nor locks and checkpoints."""
    names = [*files_of(run), *(name for name in _BESIDE if (run / name).is_file())]
    beside = [path for part in (index.FOLDER, journal.FOLDER) for path in sorted((run / part).glob("*"))]
    names += [str(path.relative_to(run)) for path in beside if path.is_file() and path.name != journal.LOCK]
    return [*names, MANIFEST]  # last, as in training: a copy that breaks off is no run


class SharedRun(ModelHubMixin, library_name="ramen", tags=["ramen"]):
    """A run for the hub's mixin, whose ``push_to_hub`` and ``save_pretrained`` :class:`ramen.Tagger` offers.

    Apart from ``Tagger``, so that tagging does not import the hub's library.

    Args:
        run: its folder.
    """

    def __init__(self, run: Path) -> None:
        self.run = run

    def _save_pretrained(self, save_directory: Path) -> None:
        copy_run(self.run, save_directory)


def push_run(run: Path, repo_id: str, **options: Any) -> str:  # noqa: ANN401
    """Upload a finished run in one commit and return the commit's address; the repository is made if it is missing.

    What is sent is a checked copy: settings, figures, card, index and added labels too, but not the log.

    Args:
        run: its folder.
        repo_id: ``USER/NAME``.
        options: of :meth:`huggingface_hub.ModelHubMixin.push_to_hub`, such as ``private``, ``token``, ``branch`` or
            ``commit_message``.

    Raises:
        InputError: there is no finished run, the name is wrong, or you may not write there.
        WorkError: the hub cannot be reached, or fails.

    Example:
        ``push_run(Path("runs/a"), "USER/NAME", private=True)``
    """
    Tagger.load(run)  # what does not load here is not shared
    options.setdefault("commit_message", "Upload a run of RAMEN")
    with _clear_errors(repo_id, "the branch"):
        return str(SharedRun(run).push_to_hub(repo_id, **options))


@contextmanager
def _clear_errors(repo_id: str, revision: str) -> Iterator[None]:
    """Turn the errors of the hub's library into one line."""
    hub = constants.ENDPOINT
    try:
        yield
    except HFValidationError as error:
        raise InputError(f"{repo_id!r}: expected the name of a repository, USER/NAME: {_first_line(error)}") from error
    except GatedRepoError as error:
        raise InputError(f"{repo_id}: access must be asked for at {hub}/{repo_id}; then {_LOG_IN}") from error
    except RevisionNotFoundError as error:
        raise InputError(f"{repo_id}: has no {revision} at {hub}") from error
    except RepositoryNotFoundError as error:
        raise InputError(f"{repo_id}: found no such model at {hub}, or it is private: {_LOG_IN}") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        cause = error.__cause__
        status = f"answered {cause.response.status_code}" if isinstance(cause, HfHubHTTPError) else "cannot be reached"
        raise WorkError(f"{repo_id}: {hub} {status}, and the cache has no copy") from error
    except HfHubHTTPError as error:
        code = error.response.status_code
        if code in _REFUSED:
            raise InputError(f"{repo_id}: {hub} refuses it ({code}): {_LOG_IN} that may do this") from error
        raise WorkError(f"{repo_id}: {hub} answered {code}: {_first_line(error)}") from error
    except _CLIENT_ERROR as error:
        raise WorkError(f"{repo_id}: {hub} cannot be reached: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)[:200]
