"""RAMEN: extreme classification with encoders that graph metadata regularises during training.

Names load on first use, so that ``import ramen`` is quick and tagging never imports the training code.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from ramen._version import __version__
from ramen.extras import needing

# OpenMP reads it when torch is loaded. Threads that wait actively, its default, take the cores from all else that runs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOME = {
    "Dataset": "ramen.data",
    "load_dataset": "ramen.data",
    "from_lists": "ramen.data",
    "train": "ramen.training.train",
    "evaluate": "ramen.inference",
    "Tagger": "ramen.inference",
    "load_encoder": "ramen.inference",
    "RamenClassifier": "ramen.estimator",
}
_ROOMS = {"data", "encoders", "graph", "inference", "losses", "metrics", "mining", "ranking", "scorers", "training"}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _HOME:
        with needing("train", name):
            return getattr(importlib.import_module(_HOME[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"ramen.{name}")
    raise AttributeError(f"module 'ramen' has no attribute {name!r}")
