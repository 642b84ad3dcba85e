"""State of an interrupted stage: safetensors, written beside and renamed, so that the last one always survives."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from ramen.errors import InputError
from ramen.files import replacing

_EVERY_SECONDS = 20.0


class Checkpoint:
    """One stage's state in one file.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved_at = time.monotonic()

    def save(
        self,
        epoch: int,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        arrays: Mapping[str, np.ndarray] | None = None,
        last: bool = False,
    ) -> None:
        """Keep the state after ``epoch`` epochs; skipped when the last save is seconds old, unless it is the last.

        ``arrays`` are what else training goes on from: clusters, kept edges and the like.
        """
        if not last and time.monotonic() - self._saved_at < _EVERY_SECONDS:
            return
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        if not last:  # a finished stage is never trained on
            for index, state in optimiser.state_dict()["state"].items():
                tensors.update({f"optimiser.{index}.{name}": value for name, value in state.items()})
            tensors.update({f"array.{name}": torch.from_numpy(value) for name, value in (arrays or {}).items()})
        meta = {"epoch": epoch}
        with replacing(self.path) as part:
            save_file(
                {name: value.contiguous() for name, value in tensors.items()},
                part,
                metadata={"ramen": json.dumps(meta)},
            )
        self._saved_at = time.monotonic()

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[int, dict[str, np.ndarray]]:
        """Load the kept state into the two; returns the epochs done (0 where nothing is kept) and the arrays.

        Raises:
            InputError: the file is damaged or of another model.
        """
        if not self.path.exists():
            return 0, {}
        try:
            with safe_open(self.path, framework="pt") as stored:
                meta = json.loads(stored.metadata()["ramen"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{self.path}: cannot be resumed from: {reason}; remove the run to start anew") from error
        states: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".")
                states.setdefault(int(index), {})[key] = value
        if states:
            optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
        arrays = {n.removeprefix("array."): t.numpy() for n, t in tensors.items() if n.startswith("array.")}
        return int(meta["epoch"]), arrays
