"""The log of a run: one json line per step of the work in ``log.jsonl``, and the same on the terminal."""

from __future__ import annotations

import json
import logging
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ramen import distributed
from ramen.extras import needing
from ramen.timing import time_table

logger = logging.getLogger("ramen")


class Log:
    """Call it with the figures of a step.

    Args:
        path: of the file; lines are added to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = time.perf_counter()
        self._curves: Any = None  # torch's writer for TensorBoard

    def plot_to(self, folder: Path) -> None:
        """Write the figures for TensorBoard, too, into a folder; of several ranks the first does.

        Raises:
            InputError: TensorBoard's package is not installed.
        """
        with needing("tensorboard", "log.tensorboard=true"):
            from torch.utils.tensorboard import SummaryWriter
        if distributed.is_main():
            self._curves = SummaryWriter(str(folder))

    def close(self) -> None:
        """Write what is left for TensorBoard."""
        if self._curves is not None:
            self._curves.close()

    def __call__(self, **figures: Any) -> None:
        """Add a line; of several ranks the first does."""
        if not distributed.is_main():
            return
        figures = {k: _rounded(v) if isinstance(v, float) and np.isfinite(v) else v for k, v in figures.items()}
        figures = {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in figures.items()}
        figures["elapsed"] = round(time.perf_counter() - self._start, 1)
        figures["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)  # of memory, so far
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")
        self._plot(figures)
        logger.info("  ".join(f"{key} {value}" for key, value in figures.items() if value is not None))

    def _plot(self, figures: Mapping[str, Any]) -> None:
        """Add the numbers of a line to the curves: one for each stage, training or scorer, and figure."""
        place = figures.get("step", figures.get("epoch"))
        if self._curves is None or place is None:
            return
        of = [str(figures[key]) for key in ("stage", "training", "scorer", "graph", "side") if key in figures]
        for name, value in figures.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and name not in ("step", "epoch"):
                self._curves.add_scalar("/".join([*of, name]), value, place)

    def times(self, seconds: Mapping[str, float]) -> None:
        """Add a line with the seconds of each stage, and show their table."""
        self(stage="time", seconds={name: round(value, 2) for name, value in seconds.items()})
        if distributed.is_main():
            logger.info(time_table(seconds))


def _rounded(value: float) -> float:
    """To four decimals, but a small number (a learning rate) to three digits."""
    return round(value, 4) if abs(value) >= 0.1 else float(f"{value:.3g}")
