"""Libraries that only a part of the toolkit needs, and what to type where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ramen.errors import InputError

OF = {
    "train": {"torch", "transformers", "sentence_transformers", "sklearn", "lightgbm"},
    "plot": {"matplotlib", "jinja2"},
    "wnet": {"torch", "monai", "skimage", "sklearn", "PIL"},
    "serve": {"fastapi", "starlette", "uvicorn", "prometheus_client", "pydantic"},
}


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Around imports of an extra's libraries.

    Args:
        extra: a key of ``OF``.
        what: needs them, as the message begins.

    Raises:
        InputError: one of them is not installed; the message has the command to type.

    Example:
        >>> with needing("train", "training"):
        ...     import torch
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in OF[extra]:
            raise
        raise InputError(f"{what} needs {missing}, which is not installed: pip install 'ramen-xc[{extra}]'") from error
