"""State of an interrupted stage: the last two of them, each written beside and renamed, checked when read.

The state of a GPU is copied to the host and written while training goes on; that of a CPU, whose cores have work and
whose memory a second copy would take, at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from ramen import distributed
from ramen.errors import InputError, WorkError
from ramen.files import replacing

_EVERY_SECONDS = 60.0
_CHEAP = 3.0  # seconds of a save up to which it is made so often; longer ones are made less often in proportion
_STEPS = "steps"

logger = logging.getLogger("ramen")
Tensors = dict[str, torch.Tensor]


class Checkpoint:
    """One stage's state in a file, and the one before it in another.

    Args:
        path: of the newest; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.before = path, path.with_name(path.name + ".before")
        self._saved_at, self._stretch = time.monotonic(), 1.0
        self._writer: threading.Thread | None = None

    @property
    def best(self) -> Checkpoint:
        """Where the best weights of the stage are kept."""
        return Checkpoint(self.path.with_name(self.path.stem + "-best" + self.path.suffix))

    @property
    def due(self) -> bool:
        """Whether the last save is so old that another is worth its time."""
        return time.monotonic() - self._saved_at >= _EVERY_SECONDS * self._stretch

    def remove(self) -> None:
        """Both files, where they are."""
        self.wait()
        for path in (self.path, self.before):
            path.unlink(missing_ok=True)

    def save(
        self,
        steps: int,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        arrays: Mapping[str, np.ndarray] | None = None,
        last: bool = False,
    ) -> None:
        """Keep the state after some steps; skipped unless it is :attr:`due` or the last.

        Of several ranks the first writes. A full disk is a warning, as training can go on, unless it is the last.

        Args:
            steps: how many are done.
            model: its weights are kept.
            optimiser: its state, unless it is the last.
            arrays: what else training goes on from: clusters, kept edges and the like.
            last: of the stage, which is never trained on.

        Raises:
            WorkError: the disk is full, and it is the last.
        """
        if not last and not self.due:
            return
        if not distributed.is_main():
            self._saved_at = time.monotonic()
            return
        tensors = _weights_of(model)
        if not last:
            for index, state in optimiser.state_dict()["state"].items():
                tensors.update({f"optimiser.{index}.{name}": value for name, value in state.items()})
            tensors.update({f"array.{name}": torch.from_numpy(value) for name, value in (arrays or {}).items()})
        self._keep(steps, tensors, must=last)

    def save_weights(self, steps: int, model: nn.Module) -> None:
        """Keep the weights after some steps, for :meth:`load`; of several ranks the first does."""
        if distributed.is_main():
            self._keep(steps, _weights_of(model), must=False)

    def save_tensors(self, steps: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep tensors after some steps, where it is :attr:`due`; of several ranks the first does."""
        if distributed.is_main() and self.due:
            self._keep(steps, dict(tensors), must=False)

    def tensors(self) -> tuple[int, Tensors]:
        """The steps and tensors of :meth:`save_tensors`; 0 and none where nothing is kept."""
        tensors = distributed.broadcast(self._newest)
        return (int(tensors.pop(_STEPS)), tensors) if tensors else (0, {})

    def _keep(self, steps: int, tensors: Tensors, must: bool) -> None:
        """Write a state; a failure is a warning unless it must be kept."""
        began, beside = time.monotonic(), not must and _on_gpu(tensors)
        tensors = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
        self.wait()
        if beside:
            self._writer = threading.Thread(target=self._try_to_write, args=(steps, tensors), name="checkpoint")
            self._writer.start()
        elif must:
            self._write(steps, tensors)
        else:
            self._try_to_write(steps, tensors)
        self._saved_at = time.monotonic()
        self._stretch = max(1.0, (self._saved_at - began) / _CHEAP)

    def wait(self) -> None:
        """Until what is being written is."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def _try_to_write(self, steps: int, tensors: Tensors) -> None:
        try:
            self._write(steps, tensors)
        except WorkError as error:
            logger.warning("%s; training goes on", error)

    def _write(self, steps: int, tensors: Tensors) -> None:
        meta = {"steps": steps, "digest": _digest(tensors)}
        with replacing(self.path) as part:
            save_file(tensors, part, metadata={"ramen": json.dumps(meta)})
            if self.path.exists():
                self.path.replace(self.before)

    def load(self, model: nn.Module) -> None:
        """Load the weights that are kept into a model, where any are."""
        tensors = distributed.broadcast(self._newest)
        if tensors:
            tensors.pop(_STEPS)
            self._load(tensors, model, None)

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[int, dict[str, np.ndarray]]:
        """Load the kept state into the two; returns the steps done (0 where nothing is kept) and the arrays.

        Of several ranks the first reads, whatever their number was when it was kept. A damaged file is a warning, and
        the one before it is used; where both are, the stage starts anew.

        Raises:
            InputError: the state is of another model.
        """
        tensors = distributed.broadcast(self._newest)
        if not tensors:
            return 0, {}
        steps = int(tensors.pop(_STEPS))
        return steps, self._load(tensors, model, optimiser)

    def _newest(self) -> Tensors:
        """The newest state that can be read, with its steps; nothing where there is none."""
        self.wait()
        for path in (self.path, self.before):
            if not path.exists():
                continue
            try:
                steps, tensors = _read(path)
            except Exception as error:  # whatever a damaged file makes of the reader
                logger.warning("%s: damaged (%s); going on from the one before", path, str(error).splitlines()[0])
                continue
            return {**tensors, _STEPS: torch.tensor(steps)}
        return {}

    def _load(
        self, tensors: Tensors, model: nn.Module, optimiser: torch.optim.Optimizer | None
    ) -> dict[str, np.ndarray]:
        try:
            model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{self.path}: cannot be resumed from: {reason}; remove the run to start anew") from error
        states: dict[int, Tensors] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".")
                states.setdefault(int(index), {})[key] = value
        if states and optimiser:
            optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
        return {n.removeprefix("array."): t.numpy() for n, t in tensors.items() if n.startswith("array.")}


def _weights_of(model: nn.Module) -> Tensors:
    return {f"model.{name}": value for name, value in model.state_dict().items()}


def _on_gpu(tensors: Tensors) -> bool:
    return any(value.is_cuda for value in tensors.values())


def _read(path: Path) -> tuple[int, Tensors]:
    with safe_open(path, framework="pt") as stored:
        meta = json.loads(stored.metadata()["ramen"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    if _digest(tensors) != meta["digest"]:
        raise ValueError("its bytes are not those that were written")
    return int(meta["steps"]), tensors


def _digest(tensors: Tensors) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
