"""Distributed training with torchrun: ranks and collective operations.

All ranks run the same code on the same data with the same seeds. They share the work of encoder and head; rank 0 makes
all decisions and writes all files. A single process is rank 0 of 1: collective operations then return their input.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
import torch
import torch.distributed as dist

from ramen.errors import InputError, WorkError

Tensors = dict[str, torch.Tensor]
T = TypeVar("T")

_TIMEOUT = timedelta(hours=2)  # rank 0 may work alone for long; a dead rank is noticed at once
_ANSWER_SECONDS = 5.0  # for the remaining ranks to report
_LEAVE_TOGETHER = timedelta(minutes=1)  # how long a finished rank waits for the others
_TABLE = 4096  # rows from which a gradient may be that of a table, of which a step uses a few rows
_SHARE_OF_TABLE = 0.5  # of a table's rows up to which only those are exchanged


def world_size() -> int:
    """Return the number of ranks."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main() -> bool:
    """Return whether this is rank 0, which writes all files."""
    return rank() == 0


def progress_disabled() -> bool | None:
    """Return ``disable`` for tqdm: rank 0 shows bars on a terminal, other ranks never."""
    return None if is_main() else True


def local_world_size() -> int:
    """Return the number of ranks on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world_size() > 1 else 1


@contextmanager
def init() -> Iterator[None]:
    """Join the process group within the block if started by torchrun; else do nothing.

    Raises:
        WorkError: another rank has stopped; the message names it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=_TIMEOUT)
    store, me = dist.distributed_c10d._get_default_store(), dist.get_rank()
    store.set(f"ramen/host/{me}", f"{socket.gethostname()}, process {os.getpid()}")
    try:
        yield
    except BaseException as error:
        store.set(f"ramen/stopped/{me}", " ".join(str(error).split()) or type(error).__name__)
        if isinstance(error, RuntimeError) and not isinstance(error, WorkError):
            _name_the_lost(store, error)
        raise
    else:  # gloo aborts a process whose peer leaves during communication
        store.set(f"ramen/finished/{me}", "")
        with suppress(RuntimeError):  # torchrun reports a peer that died
            store.wait([f"ramen/finished/{rank}" for rank in range(dist.get_world_size())], _LEAVE_TOGETHER)
    finally:
        dist.destroy_process_group()


def _name_the_lost(store: Any, error: RuntimeError) -> None:
    """Raise an error that names the lost rank if communication failed; do nothing for other errors."""
    others = [rank for rank in range(dist.get_world_size()) if rank != dist.get_rank()]
    stop = time.monotonic() + _ANSWER_SECONDS
    while (silent := [r for r in others if not store.check([f"ramen/stopped/{r}"])]) and time.monotonic() < stop:
        time.sleep(0.2)
    text = str(error).lower()
    if not silent or not any(word in text for word in ("peer", "connect", "gloo", "nccl", "timed out", "socket")):
        return
    hosts = {r: store.get(f"ramen/host/{r}").decode() for r in silent}
    names = " and ".join(f"rank {r} ({host})" for r, host in hosts.items() if not _lives_here(host))
    if not names:
        return
    raise WorkError(
        f"{names} died: rank {dist.get_rank()} lost the connection; --resume goes on from the last checkpoint"
    ) from error


def _lives_here(host: str) -> bool:
    """Return whether the process of a rank is alive on this machine, that is, only busy."""
    name, _, process = host.partition(", process ")
    if name != socket.gethostname():
        return False
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def shard(n: int, of: int | None = None) -> slice:
    """Return the slice of ``n`` rows of a rank (default: this one); sizes differ by at most one.

    Example:
        >>> shard(5)
        slice(0, 5, None)
    """
    at, size = rank() if of is None else of, world_size()
    return slice(n * at // size, n * (at + 1) // size)


class _AllGather(torch.autograd.Function):
    """Gathers the rows of all ranks; the backward pass returns the gradient of the own shard.

    Every rank computes the same loss on the same rows, so the gradient of its shard is complete. It is multiplied by
    the number of ranks, as :func:`average_gradients` divides by it.
    """

    @staticmethod
    def forward(context: Any, part: torch.Tensor, n: int) -> torch.Tensor:
        context.n = n
        return _gathered(part, n)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> Any:
        return gradient[shard(context.n)] * world_size(), None


def all_gather_rows(part: torch.Tensor, n: int) -> torch.Tensor:
    """Return all ``n`` rows, given the :func:`shard` of each rank; differentiable.

    Args:
        part: (len of the share, ...), on any device.
        n: rows of all ranks.
    """
    return _AllGather.apply(part, n) if world_size() > 1 else part


def _gathered(part: torch.Tensor, n: int) -> torch.Tensor:
    most = -(-n // world_size())
    padded = part.new_zeros(most, *part.shape[1:])
    padded[: len(part)] = part.detach()
    parts = [torch.empty_like(padded) for _ in range(world_size())]
    dist.all_gather(parts, padded)
    lengths = [(at := shard(n, rank)).stop - at.start for rank in range(world_size())]
    return torch.cat([rows[:length] for rows, length in zip(parts, lengths, strict=True)])


def all_gather_csr(part: sp.csr_matrix, n: int) -> sp.csr_matrix:
    """Return the CSR matrix of ``n`` rows, given the :func:`shard` of each rank."""
    if world_size() == 1:
        return part
    lengths = all_gather_rows(torch.from_numpy(np.diff(part.indptr).astype(np.int64)), n).numpy()
    sizes = all_gather(torch.tensor([part.nnz]))[:, 0].tolist()
    arrays = []
    for array in (part.data, part.indices.astype(np.int32)):
        padded = torch.zeros(max(sizes), dtype=torch.from_numpy(array).dtype)
        padded[: len(array)] = torch.from_numpy(array)
        arrays.append(torch.cat([rows[:size] for rows, size in zip(all_gather(padded), sizes, strict=True)]).numpy())
    return sp.csr_matrix((*arrays, np.append(0, np.cumsum(lengths))), shape=(n, part.shape[1]))


def all_gather(values: torch.Tensor) -> torch.Tensor:
    """Return the tensors of all ranks, of equal shape, as (ranks, ...)."""
    if world_size() == 1:
        return values[None]
    parts = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.stack(parts)


def all_reduce(values: torch.Tensor) -> torch.Tensor:
    """Sum over the ranks in place."""
    if world_size() > 1:
        dist.all_reduce(values)
    return values


def average_gradients(gradients: Iterable[torch.Tensor]) -> None:
    """Average each gradient over the ranks in place; of large tables only exchange the rows in use."""
    if world_size() == 1:
        return
    for gradient in gradients:
        if gradient.dim() == 2 and len(gradient) >= _TABLE:
            used = (torch.linalg.vector_norm(gradient, dim=1) > 0).to(torch.uint8)  # any(1) takes eight times as long
            dist.all_reduce(used, op=dist.ReduceOp.MAX)
            rows = used.nonzero()[:, 0]
            if len(rows) < _SHARE_OF_TABLE * len(gradient):
                gradient[rows] = all_reduce(gradient[rows]) / world_size()
                continue
        all_reduce(gradient).div_(world_size())


def broadcast(work: Callable[[], T]) -> T:
    """Run ``work`` on rank 0 and return its result on every rank.

    Args:
        work: returns an array, a CSR matrix, a mapping of names to arrays or to tensors, or a value that JSON keeps.

    Raises:
        SystemExit: on the other ranks, where it failed on rank 0, which says why.
        TypeError: on rank 0, for a result of another kind.

    Example:
        >>> broadcast(lambda: [1, 2])
        [1, 2]
    """
    if world_size() == 1:
        return work()
    tensors: Tensors = {}
    text = ""
    failure: BaseException | None = None
    if is_main():
        try:
            head, tensors = _packed(work())
            text = json.dumps(head)
        except BaseException as error:
            failure, text = error, json.dumps({"failed": 2 if isinstance(error, InputError) else 1})
    head = json.loads(_sent(text.encode()))
    if failure is not None:
        raise failure
    if "failed" in head:
        raise SystemExit(head["failed"])
    for name, (dtype, shape) in head["tensors"].items():
        tensor = tensors[name] if is_main() else torch.empty(shape, dtype=getattr(torch, dtype))
        if tensor.numel():
            dist.broadcast(tensor.reshape(-1).view(torch.uint8), 0)
        tensors[name] = tensor
    return _unpacked(head, tensors)


def _packed(value: Any) -> tuple[dict[str, Any], Tensors]:
    """What is sent of a value: a head that JSON keeps, and tensors."""
    head: dict[str, Any] = {"kind": "tensors"}
    if isinstance(value, np.ndarray):
        head["kind"], tensors = "array", {"array": torch.from_numpy(value)}
    elif isinstance(value, sp.csr_matrix):
        head = {"kind": "csr", "shape": [int(size) for size in value.shape]}
        tensors = {name: torch.from_numpy(getattr(value, name)) for name in ("data", "indices", "indptr")}
    elif isinstance(value, Mapping) and value and all(isinstance(one, torch.Tensor) for one in value.values()):
        tensors = dict(value)
    elif isinstance(value, Mapping) and value and all(isinstance(one, np.ndarray) for one in value.values()):
        head["kind"], tensors = "arrays", {name: torch.from_numpy(one) for name, one in value.items()}
    else:
        head, tensors = {"kind": "json", "value": value}, {}
    tensors = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    head["tensors"] = {name: [str(t.dtype).removeprefix("torch."), list(t.shape)] for name, t in tensors.items()}
    return head, tensors


def _unpacked(head: Mapping[str, Any], tensors: Tensors) -> Any:
    if head["kind"] == "json":
        return head["value"]
    if head["kind"] == "array":
        return tensors["array"].numpy()
    if head["kind"] == "arrays":
        return {name: tensor.numpy() for name, tensor in tensors.items()}
    if head["kind"] == "csr":
        parts = tuple(tensors[name].numpy() for name in ("data", "indices", "indptr"))
        return sp.csr_matrix(parts, shape=tuple(head["shape"]))
    return tensors


def _sent(text: bytes) -> bytes:
    size = torch.tensor([len(text)])
    dist.broadcast(size, 0)
    line = (
        torch.frombuffer(bytearray(text), dtype=torch.uint8) if is_main() else torch.empty(int(size), dtype=torch.uint8)
    )
    dist.broadcast(line, 0)
    return line.numpy().tobytes()


def check_same(facts: Mapping[str, str]) -> None:
    """Refuse ranks that were not started alike.

    Args:
        facts: what has to be the same on every rank, by the name that an error gives it.

    Raises:
        InputError: on a rank that differs from rank 0, and there; it names the rank and the fact.
        SystemExit: on the others.
    """
    if world_size() == 1:
        return
    expected = broadcast(lambda: dict(facts))
    names = [name for name in facts if facts[name] != expected.get(name)]
    wrong = all_gather(torch.tensor([len(names)]))[:, 0].nonzero()[:, 0].tolist()
    if names:
        local, wanted = _first_difference(facts[names[0]], expected[names[0]])
        raise InputError(
            f"rank {rank()} ({socket.gethostname()}) and rank 0 differ in {names[0]}: found {local}, rank 0 has "
            f"{wanted}; every rank needs the same command and the same data"
        )
    if wrong and is_main():
        others = " and ".join(f"rank {rank}" for rank in wrong)
        raise InputError(f"{others} has another command, version or data than rank 0; see its own error")
    if wrong:
        raise SystemExit(2)


def _first_difference(local: str, wanted: str) -> tuple[str, str]:
    """Return the first line in which two texts differ."""
    lines = local.splitlines() + [""] * max(0, wanted.count("\n") - local.count("\n"))
    others = wanted.splitlines() + [""] * max(0, local.count("\n") - wanted.count("\n"))
    return next(((a.strip(), b.strip()) for a, b in zip(lines, others, strict=False) if a != b), (local, wanted))


def sync_weights(tensors: Iterable[torch.Tensor], where: str) -> None:
    """Broadcast the weights of rank 0; raise if they differ by more than rounding.

    Args:
        tensors: weights trained identically on all ranks.
        where: for the error message.

    Raises:
        WorkError: on every rank; names the ranks whose weights differ.
    """
    if world_size() == 1:
        return
    worst = 0.0
    with torch.no_grad():
        for tensor in tensors:
            before = tensor.detach().clone()
            dist.broadcast(tensor.data, 0)
            size = float(tensor.abs().max()) if tensor.numel() else 0.0
            worst = max(worst, float((tensor - before).abs().max()) / max(size, 1e-12) if tensor.numel() else 0.0)
    off = (all_gather(torch.tensor([worst]))[:, 0] > 1e-3).nonzero()[:, 0].tolist()
    if off:
        names = " and ".join(f"rank {rank}" for rank in off)
        raise WorkError(
            f"{where}: {names} came to other weights than rank 0; the ranks do not run the same code or data"
        )
