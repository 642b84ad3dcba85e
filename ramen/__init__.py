"""RAMEN: extreme classification with encoders regularised by graph metadata.

Names load on first use: ``import ramen`` is fast, and tagging never imports training code.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from ramen._version import __version__
from ramen.extras import needing

# OpenMP reads it when torch is loaded. Its default, active waiting, takes cores from other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOME = {
    "Dataset": "ramen.data",
    "load_dataset": "ramen.data",
    "from_lists": "ramen.data",
    "from_frame": "ramen.data",
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
