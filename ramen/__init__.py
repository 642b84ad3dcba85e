"""RAMEN: extreme classification with encoders regularised by graph metadata.

Names load on first use: ``import ramen`` is fast, and tagging never imports training code.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from ramen._version import __version__
from ramen.extras import needing

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from ramen.data import Dataset, from_frame, from_lists, load_dataset
    from ramen.estimator import RamenClassifier
    from ramen.inference import Tagger, evaluate, load, load_encoder
    from ramen.training.train import train, train_from

# OpenMP reads it when torch is loaded. Its default, active waiting, takes cores from other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOME = {
    "Dataset": "ramen.data",
    "load_dataset": "ramen.data",
    "from_lists": "ramen.data",
    "from_frame": "ramen.data",
    "train": "ramen.training.train",
    "train_from": "ramen.training.train",
    "evaluate": "ramen.inference",
    "load": "ramen.inference",
    "Tagger": "ramen.inference",
    "load_encoder": "ramen.inference",
    "RamenClassifier": "ramen.estimator",
}
_ROOMS = {
    "data", "encoders", "graph", "inference", "losses", "metrics", "mining", "ranking", "scorers", "tracking",
    "training",
}  # fmt: skip

__all__ = [
    "__version__", "Dataset", "load_dataset", "from_lists", "from_frame", "train", "train_from", "evaluate", "load",
    "Tagger", "load_encoder", "RamenClassifier",
]  # fmt: skip


def __dir__() -> list[str]:
    """What completion offers: the API and its modules, before they are loaded, too."""
    return sorted({*__all__, *_ROOMS, *(name for name in globals() if name.startswith("__"))})


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _HOME:
        with needing("train", name):
            return getattr(importlib.import_module(_HOME[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"ramen.{name}")
    raise AttributeError(f"module 'ramen' has no attribute {name!r}")
