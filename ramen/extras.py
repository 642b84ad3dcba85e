"""Optional dependencies, and errors with the install command if one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ramen.errors import InputError

OF = {
    "train": {"torch", "transformers", "sentence_transformers", "sklearn", "lightgbm"},
    "plot": {"matplotlib", "jinja2"},
    "tensorboard": {"tensorboard"},
    "mlflow": {"mlflow"},
    "wandb": {"wandb"},
    "wnet": {"torch", "monai", "skimage", "sklearn", "PIL"},
    "serve": {"fastapi", "starlette", "uvicorn", "prometheus_client", "pydantic"},
}


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Wrap imports of the libraries of an extra.

    Args:
        extra: a key of ``OF``.
        what: needs them; starts the message.

    Raises:
        InputError: one of them is not installed; the message has the install command.

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
