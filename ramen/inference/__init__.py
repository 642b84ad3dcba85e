"""Inference: text in, labels out. It uses no graph and imports no training code.

Names load on first use, so that tagging does not wait for the imports of evaluation.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers, editors and the reference, which do not run __getattr__
    from ramen.inference.evaluation import evaluate
    from ramen.inference.open import load
    from ramen.inference.tagger import Tagger, load_encoder

_HOME = {
    "Tagger": "ramen.inference.tagger",
    "load_encoder": "ramen.inference.tagger",
    "load": "ramen.inference.open",
    "evaluate": "ramen.inference.evaluation",
}

__all__ = ["Tagger", "evaluate", "load", "load_encoder"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
