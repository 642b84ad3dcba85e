"""The ranks of one training run, as torchrun starts them, and what they exchange.

All ranks run the same code on the same data with the same seeds. They share the work of the encoder and of the head,
take from rank 0 whatever is decided, and leave all writing to it. A process by itself is rank 0 of 1: every function
here then gives back what it was given.
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
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.distributed as dist

from ramen.errors import InputError, WorkError

Tensors = dict[str, torch.Tensor]

_TIMEOUT = timedelta(hours=2)  # rank 0 may work alone for long; a rank that dies is noticed at once
_ANSWER_SECONDS = 5.0  # for the ranks that are left to say so
_LEAVE_TOGETHER = timedelta(minutes=1)  # how long one that has finished waits for the others
_TABLE = 4096  # rows from which a gradient may be that of a table, of which a step uses a few rows
_SHARE_OF_TABLE = 0.5  # of a table's rows up to which only those are exchanged


def count() -> int:
    """Ranks of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """This process's rank, from 0."""
    return dist.get_rank() if count() > 1 else 0


def is_first() -> bool:
    """Whether this is the rank that writes."""
    return number() == 0


def hidden() -> bool | None:
    """What tqdm takes as ``disable``: bars of rank 0 are shown on a terminal, those of the others never."""
    return None if is_first() else True


def on_this_machine() -> int:
    """Ranks that share this machine's memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if count() > 1 else 1


@contextmanager
def together() -> Iterator[None]:
    """Join the other ranks for a block, where torchrun started this process; else do nothing.

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
    else:  # gloo aborts a process whose peer leaves while it still talks
        store.set(f"ramen/finished/{me}", "")
        with suppress(RuntimeError):  # a peer that is gone by now is for torchrun to tell
            store.wait([f"ramen/finished/{rank}" for rank in range(dist.get_world_size())], _LEAVE_TOGETHER)
    finally:
        dist.destroy_process_group()


def _name_the_lost(store: Any, error: RuntimeError) -> None:
    """Turn the failure of an exchange into an error that names the rank that is gone; do nothing for any other."""
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
    """Whether a rank's process, as it named itself, is on this machine and at work: then it is only busy."""
    name, _, process = host.partition(", process ")
    if name != socket.gethostname():
        return False
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def share(n: int, rank: int | None = None) -> slice:
    """The part of ``n`` rows that a rank works on, this one unless told; parts follow each other and differ by one row.

    Example:
        >>> share(5)
        slice(0, 5, None)
    """
    rank, ranks = number() if rank is None else rank, count()
    return slice(n * rank // ranks, n * (rank + 1) // ranks)


class _Joined(torch.autograd.Function):
    """Rows of all ranks end to end; the gradient of this rank's part goes back to it.

    Every rank computes the same loss of the same rows, so each gets the gradient of its part whole; it is multiplied by
    the number of ranks, as :func:`average` divides by it.
    """

    @staticmethod
    def forward(context: Any, part: torch.Tensor, n: int) -> torch.Tensor:
        context.n = n
        return _gathered(part, n)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> Any:
        return gradient[share(context.n)] * count(), None


def joined(part: torch.Tensor, n: int) -> torch.Tensor:
    """All ``n`` rows, of which every rank gives its :func:`share`; differentiable.

    Args:
        part: (len of the share, ...), on any device.
        n: rows of all ranks.
    """
    return _Joined.apply(part, n) if count() > 1 else part


def _gathered(part: torch.Tensor, n: int) -> torch.Tensor:
    most = -(-n // count())
    padded = part.new_zeros(most, *part.shape[1:])
    padded[: len(part)] = part.detach()
    parts = [torch.empty_like(padded) for _ in range(count())]
    dist.all_gather(parts, padded)
    lengths = [(at := share(n, rank)).stop - at.start for rank in range(count())]
    return torch.cat([rows[:length] for rows, length in zip(parts, lengths, strict=True)])


def all_rows(part: sp.csr_matrix, n: int) -> sp.csr_matrix:
    """The CSR matrix of ``n`` rows, of which every rank gives its :func:`share`."""
    if count() == 1:
        return part
    lengths = joined(torch.from_numpy(np.diff(part.indptr).astype(np.int64)), n).numpy()
    sizes = stacked(torch.tensor([part.nnz]))[:, 0].tolist()
    arrays = []
    for array in (part.data, part.indices.astype(np.int32)):
        padded = torch.zeros(max(sizes), dtype=torch.from_numpy(array).dtype)
        padded[: len(array)] = torch.from_numpy(array)
        arrays.append(torch.cat([rows[:size] for rows, size in zip(stacked(padded), sizes, strict=True)]).numpy())
    return sp.csr_matrix((*arrays, np.append(0, np.cumsum(lengths))), shape=(n, part.shape[1]))


def stacked(values: torch.Tensor) -> torch.Tensor:
    """Every rank's tensor of the same shape, (ranks, ...)."""
    if count() == 1:
        return values[None]
    parts = [torch.empty_like(values) for _ in range(count())]
    dist.all_gather(parts, values.contiguous())
    return torch.stack(parts)


def total(values: torch.Tensor) -> torch.Tensor:
    """The sum over the ranks, in place."""
    if count() > 1:
        dist.all_reduce(values)
    return values


def average(gradients: Iterable[torch.Tensor]) -> None:
    """The mean over the ranks of each gradient, in place; of a table only the rows that some rank has used are sent."""
    if count() == 1:
        return
    for gradient in gradients:
        if gradient.dim() == 2 and len(gradient) >= _TABLE:
            used = (torch.linalg.vector_norm(gradient, dim=1) > 0).to(torch.uint8)  # any(1) takes eight times as long
            dist.all_reduce(used, op=dist.ReduceOp.MAX)
            rows = used.nonzero()[:, 0]
            if len(rows) < _SHARE_OF_TABLE * len(gradient):
                gradient[rows] = total(gradient[rows]) / count()
                continue
        total(gradient).div_(count())


def first(work: Callable[[], Mapping[str, torch.Tensor]]) -> Tensors:
    """What ``work`` gives on rank 0, on every rank; only there it is done.

    Raises:
        SystemExit: on the other ranks, where it failed on rank 0, which says why.
    """
    if count() == 1:
        return dict(work())
    made: Tensors = {}
    head: dict[str, Any] = {}
    failed: BaseException | None = None
    if is_first():
        try:
            made = {name: tensor.contiguous().cpu() for name, tensor in work().items()}
            head = {name: [str(t.dtype).removeprefix("torch."), list(t.shape)] for name, t in made.items()}
        except BaseException as error:
            failed, head = error, {"failed": 2 if isinstance(error, InputError) else 1}
    head = json.loads(_sent(json.dumps(head).encode()))
    if failed is not None:
        raise failed
    if "failed" in head:
        raise SystemExit(head["failed"])
    for name, (dtype, shape) in head.items():
        tensor = made[name] if is_first() else torch.empty(shape, dtype=getattr(torch, dtype))
        if tensor.numel():
            dist.broadcast(tensor.reshape(-1).view(torch.uint8), 0)
        made[name] = tensor
    return made


def first_array(work: Callable[[], np.ndarray]) -> np.ndarray:
    """What ``work`` gives on rank 0, on every rank; see :func:`first`."""
    return first(lambda: {"array": torch.from_numpy(work())})["array"].numpy() if count() > 1 else work()


def first_csr(work: Callable[[], sp.csr_matrix]) -> sp.csr_matrix:
    """What ``work`` gives on rank 0, on every rank; see :func:`first`."""
    if count() == 1:
        return work()

    def parts() -> Tensors:
        made = work()
        named = {"data": made.data, "indices": made.indices, "indptr": made.indptr, "shape": np.array(made.shape)}
        return {name: torch.from_numpy(array) for name, array in named.items()}

    found = {name: tensor.numpy() for name, tensor in first(parts).items()}
    return sp.csr_matrix((found["data"], found["indices"], found["indptr"]), shape=tuple(found["shape"].tolist()))


def first_value(work: Callable[[], Any]) -> Any:
    """What ``work`` gives on rank 0, on every rank, as JSON keeps it; only there it is done; see :func:`first`."""
    if count() == 1:
        return work()

    def as_bytes() -> Tensors:
        return {"json": torch.frombuffer(bytearray(json.dumps(work()).encode()), dtype=torch.uint8)}

    return json.loads(first(as_bytes)["json"].numpy().tobytes())


def _sent(text: bytes) -> bytes:
    size = torch.tensor([len(text)])
    dist.broadcast(size, 0)
    line = (
        torch.frombuffer(bytearray(text), dtype=torch.uint8)
        if is_first()
        else torch.empty(int(size), dtype=torch.uint8)
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
    if count() == 1:
        return
    expected = first_value(lambda: dict(facts))
    names = [name for name in facts if facts[name] != expected.get(name)]
    wrong = stacked(torch.tensor([len(names)]))[:, 0].nonzero()[:, 0].tolist()
    if names:
        found, wanted = _first_difference(facts[names[0]], expected[names[0]])
        raise InputError(
            f"rank {number()} ({socket.gethostname()}) and rank 0 differ in {names[0]}: found {found}, rank 0 has "
            f"{wanted}; every rank needs the same command and the same data"
        )
    if wrong and is_first():
        others = " and ".join(f"rank {rank}" for rank in wrong)
        raise InputError(f"{others} has another command, version or data than rank 0, and says in what it differs")
    if wrong:
        raise SystemExit(2)


def _first_difference(found: str, wanted: str) -> tuple[str, str]:
    """The first line in which two texts differ."""
    lines = found.splitlines() + [""] * max(0, wanted.count("\n") - found.count("\n"))
    others = wanted.splitlines() + [""] * max(0, found.count("\n") - wanted.count("\n"))
    return next(((a.strip(), b.strip()) for a, b in zip(lines, others, strict=False) if a != b), (found, wanted))


def check_agreement(tensors: Iterable[torch.Tensor], where: str) -> None:
    """Give every rank the weights of rank 0; they may differ by rounding only.

    Args:
        tensors: weights that all ranks have trained alike.
        where: for the error.

    Raises:
        WorkError: on every rank; it names those that have come to other weights.
    """
    if count() == 1:
        return
    worst = 0.0
    with torch.no_grad():
        for tensor in tensors:
            own = tensor.detach().clone()
            dist.broadcast(tensor.data, 0)
            size = float(tensor.abs().max()) if tensor.numel() else 0.0
            worst = max(worst, float((tensor - own).abs().max()) / max(size, 1e-12) if tensor.numel() else 0.0)
    off = (stacked(torch.tensor([worst]))[:, 0] > 1e-3).nonzero()[:, 0].tolist()
    if off:
        names = " and ".join(f"rank {rank}" for rank in off)
        raise WorkError(
            f"{where}: {names} came to other weights than rank 0; the ranks do not run the same code or data"
        )
