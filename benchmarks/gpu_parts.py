"""What the parts of gpu.py share, the card's measured roofs, and the parts without an encoder: head and search."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from ramen.mining import on_device
from ramen.mining.nearest import nearest
from ramen.scorers.dense.classifier import DenseClassifier

Row = dict[str, Any]
T = TypeVar("T")
TRUE_LABELS, LR = 3, 1e-3
_BLOCK = 100_000  # rows of made-up vectors, and labels of the bound's products, at once


@dataclass
class Context:
    """What a part may use.

    Attributes:
        tiny: toy sizes, for tests.
        folder: temporary, for files that a part needs.
        roofs: bf16, TF32 and float32 products in TFLOP/s, copies in GB/s.
        rows: finished rows by part.
        deadline: ``time.monotonic()`` at which the part in progress ends.
    """

    tiny: bool
    folder: Path
    roofs: dict[str, float] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    deadline: float = 0.0

    @property
    def device(self) -> torch.device:
        """The card, or the CPU for toy sizes without one."""
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def size(self, full: T, tiny: T) -> T:
        """The first, or the second with toy sizes."""
        return tiny if self.tiny else full

    def left(self) -> float:
        """Seconds that the part in progress still has."""
        return self.deadline - time.monotonic()

    def bound_ms(self, flops: float, roof: str = "bf16_tflops") -> float:
        """Milliseconds of so many operations at a measured roof."""
        return flops / self.roofs[roof] / 1e9


def check(what: str, measured: float | None, relation: str, target: float) -> Row:
    """A line of the table at the end; ``relation`` is ``<=`` or ``>=``. ``met`` is None where nothing was measured."""
    met = None if measured is None else measured <= target if relation == "<=" else measured >= target
    return {"what": what, "measured": measured, "relation": relation, "target": target, "met": met}


def synchronize() -> None:
    """Wait for the card, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work: Callable[[], object]) -> float:
    """Seconds of a call, the device's work included."""
    synchronize()
    start = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - start


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Median milliseconds of a call after a first one that does not count."""
    work()
    return 1000 * statistics.median(seconds(work) for _ in range(repeats))


def loop_ms(work: Callable[[], object], repeats: int) -> float:
    """Median milliseconds between the ends of calls in a loop that never waits for the device."""
    if not torch.cuda.is_available():
        return 1000 * statistics.median(seconds(work) for _ in range(repeats))
    ends = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    ends[0].record()
    for end in ends[1:]:
        work()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(one.elapsed_time(two) for one, two in zip(ends, ends[1:], strict=False))


def busy_percent(work: Callable[[], object]) -> float | None:
    """Percent of a call's wall time in which a kernel ran on the card; None without a card.

    Copies and fills do not count, and neither do kernels twice that run side by side.
    """
    if not torch.cuda.is_available():
        work()
        return None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        spent = seconds(work)
    return 100 * covered(kernel_spans(profile.events())) / (1e6 * spent)


def kernel_spans(events: Iterable[Any]) -> list[tuple[float, float]]:
    """Start and end of each kernel in microseconds, by start; ranges such as ``Optimizer.step`` are none."""
    return sorted(
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type == torch.autograd.DeviceType.CUDA
        and not getattr(event, "is_user_annotation", False)
        and not event.name.startswith(("Memcpy", "Memset", "ProfilerStep", "Optimizer."))
    )


def covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of spans that are sorted by their start."""
    total, last = 0.0, float("-inf")
    for start, end in spans:
        total += max(0.0, end - max(start, last))
        last = max(last, end)
    return total


@contextmanager
def peak_memory(row: Row, before: int | None = None) -> Iterator[None]:
    """Write the peak of the card's memory in a block as ``peak_gb`` into ``row``; None without a card.

    Args:
        row: of the results.
        before: bytes that do not count; None for all that were taken before.
    """
    row["peak_gb"] = None
    if not torch.cuda.is_available():
        yield
        return
    free_memory()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if before is None else before
    yield
    row["peak_gb"] = (torch.cuda.max_memory_allocated() - before) / 1e9


def free_memory() -> None:
    """Give back what nothing refers to."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measure_roofs(context: Context) -> dict[str, float]:
    """Measured TFLOP/s of square products in bfloat16, TF32 and float32, and GB/s of a copy, reads and writes."""
    side, repeats, roofs = context.size(8192, 128), context.size(30, 2), {}
    before = torch.get_float32_matmul_precision()
    kinds = (("bf16", torch.bfloat16, "highest"), ("tf32", torch.float32, "high"), ("fp32", torch.float32, "highest"))
    for name, dtype, precision in kinds:
        torch.set_float32_matmul_precision(precision)
        left, right = (torch.randn(side, side, device=context.device).to(dtype) for _ in range(2))
        out = torch.empty_like(left)

        def multiply(left: torch.Tensor = left, right: torch.Tensor = right, out: torch.Tensor = out) -> None:
            torch.mm(left, right, out=out)

        roofs[f"{name}_tflops"] = 2 * side**3 / median_ms(multiply, repeats) / 1e9
    torch.set_float32_matmul_precision(before)
    source = torch.zeros(context.size(1 << 30, 1 << 20), dtype=torch.int8, device=context.device)
    target = torch.empty_like(source)
    roofs["copy_gb_s"] = 2 * len(source) / median_ms(lambda: target.copy_(source), repeats) / 1e6
    return roofs


def head(context: Context) -> Iterator[Row]:
    """A step of the bfloat16 head on all labels, beside its matrix products and plain torch.

    Binary cross-entropy needs two products of the batch with all labels: scores and the weights' gradient. The softmax
    scores all labels twice, where they take more than one chunk. The queries' gradient is one product more.
    """
    dim, batch = context.size(768, 16), context.size(1024, 8)
    for labels in context.size((1_300_000, 2_800_000), (3000,)):
        queries = F.normalize(torch.randn(batch, dim, device=context.device), dim=1)
        targets = _pairs(np.random.default_rng(0), batch, labels)
        start = torch.randn(labels, dim, device=context.device, dtype=torch.bfloat16) / dim**0.5
        product_ms = median_ms(partial(_products, start, queries), context.size(5, 1)) / 2
        for loss in ("softmax", "bce"):
            for gradient in (False, True):
                yield _head_step(context, start, (queries, targets), loss, gradient, product_ms)
        row: Row = {"labels": labels, "peer": "float32 weights, autograd, AdamW", "loss": "bce", "step_ms": None}
        try:
            with peak_memory(row):
                row["step_ms"] = median_ms(_peer(start, queries, targets), context.size(5, 1))
        except torch.OutOfMemoryError:
            row["note"] = "out of memory"
        yield row
        del start
        free_memory()


def _head_step(
    context: Context, start: torch.Tensor, batch: tuple[torch.Tensor, sp.csr_matrix], loss: str, gradient: bool,
    product_ms: float,
) -> Row:  # fmt: skip
    """Time and memory of a step of the head, with or without the queries' gradient."""
    (labels, dim), points = start.shape, len(batch[0])
    chunk = min(labels, DenseClassifier.gpu_chunk(labels, dim, points, "bf16"))
    products = 2 + (loss == "softmax" and chunk < labels) + gradient
    row: Row = {"labels": labels, "dim": dim, "batch": points, "chunk": chunk, "loss": loss}
    row |= {"query_gradient": gradient, "products": products, "product_ms": product_ms}
    with peak_memory(row):
        model = DenseClassifier(start, 0.05, chunk, "bf16", loss)
        fit = partial(model.fit_step_with_gradient if gradient else model.fit_step, *batch, None, LR)
        for _ in range(context.size(3, 1)):
            fit()
        row["step_ms"] = loop_ms(fit, context.size(20, 2))
    weights_bytes = 3 * start.nbytes + 4 * labels  # weights, two moments, a count of steps
    row["step_by_two_products"] = row["step_ms"] / (2 * product_ms)
    row["step_by_products"] = row["step_ms"] / (products * product_ms)
    row["peak_by_weights"] = row["peak_gb"] and row["peak_gb"] * 1e9 / weights_bytes
    name = f"{labels:,} labels, {loss}{', with gradient' if gradient else ''}"
    row["checks"] = [
        check(f"{name}: step / {products} products", row["step_by_products"], "<=", 1.7),
        check(f"{name}: memory / weights and optimiser", row["peak_by_weights"], "<=", 1.25),
    ]
    return row


def _peer(start: torch.Tensor, queries: torch.Tensor, targets: sp.csr_matrix) -> Callable[[], None]:
    """A step of what one would write first: logits of the whole batch in bfloat16, binary cross-entropy, AdamW."""
    weights = torch.nn.Parameter(start.float())
    adam = torch.optim.AdamW([weights], lr=LR, fused=True)
    rows, columns = (torch.from_numpy(at.astype(np.int64)).to(start.device) for at in targets.nonzero())

    def step() -> None:
        with torch.autocast(start.device.type, dtype=torch.bfloat16):
            logits = queries @ weights.T / 0.05
        truth = torch.zeros_like(logits)
        truth[rows, columns] = 1
        adam.zero_grad()
        (F.binary_cross_entropy_with_logits(logits, truth, reduction="sum") / len(queries)).backward()
        adam.step()

    return step


def _products(weights: torch.Tensor, queries: torch.Tensor) -> None:
    """Scores of all labels and their gradient, in blocks that fit."""
    queries = queries.to(torch.bfloat16)
    for part in weights.split(_BLOCK):
        scores = queries @ part.T
        scores.T @ queries


def _pairs(rng: np.random.Generator, batch: int, labels: int) -> sp.csr_matrix:
    """True labels of a batch, CSR (batch, labels)."""
    columns = np.sort(rng.integers(0, labels, (batch, TRUE_LABELS)), axis=1)
    starts = np.arange(0, columns.size + 1, TRUE_LABELS)
    matrix = sp.csr_matrix((np.ones(columns.size, np.float32), columns.ravel(), starts), shape=(batch, labels))
    matrix.sum_duplicates()
    return matrix


def topk(context: Context) -> Iterator[Row]:
    """Exact top 100 of unit vectors around centres, what share the bfloat16 search certifies, and the CPU's answer."""
    n, dim = context.size((1_300_000, 768), (2000, 16))
    count, k = context.size((100_000, 100), (300, 10))
    centres = torch.randn(context.size(10_000, 50), dim, device=context.device)
    matrix, queries = (_around(centres, rows) for rows in (n, count))
    certain: list[np.ndarray] = []
    search = on_device._search

    def counted(*arguments: Any, **named: Any) -> np.ndarray:
        mask = search(*arguments, **named)
        if "ties" not in named:  # the second search, of those that the first left open
            certain.append(mask)
        return mask

    row: Row = {"rows": n, "dim": dim, "queries": count, "k": k}
    on_device._search = counted
    try:
        with peak_memory(row):
            first = seconds(lambda: _search_all(context, queries[:2560], matrix, k))
            certain.clear()
            start = time.perf_counter()
            found, scores = _search_all(context, queries, matrix, k)
            row |= {"first_2560_queries_s": first, "seconds": time.perf_counter() - start}
    finally:
        on_device._search = search
    row["certified_percent"] = 100 * float(np.concatenate(certain).mean())
    row["bound_s"] = context.bound_ms(2.0 * n * count * dim) / 1000
    row["checks"] = [check(f"top {k} of {count:,} queries in {n:,} rows, s", row["seconds"], "<=", 10)]
    yield row
    some = context.size(64, 16)  # so few are searched on the CPU
    start = time.perf_counter()
    expected, exact = nearest(queries[:some], matrix, k)
    same = 100 * float((expected == found[:some]).mean())
    worst = float(np.abs(exact - scores[:some]).max())
    yield {
        "cpu_queries": some, "cpu_seconds": time.perf_counter() - start, "same_rows_percent": same,
        "largest_difference": worst,
        "checks": [check("largest difference of a score from the CPU's", worst, "<=", 1e-5)],
    }  # fmt: skip


def _search_all(context: Context, queries: np.ndarray, matrix: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """By :func:`nearest`, which takes the card for a large search; toy sizes by the card's code on the CPU."""
    if context.tiny:
        return on_device.nearest_on(context.device, queries, matrix, k)
    return nearest(queries, matrix, k)


def _around(centres: torch.Tensor, n: int) -> np.ndarray:
    """Unit vectors around random centres, float32 (n, d), made in blocks on the device."""
    out = np.empty((n, centres.shape[1]), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        rows = min(_BLOCK, n - start)
        at = torch.randint(len(centres), (rows,), device=centres.device)
        noise = torch.randn(rows, centres.shape[1], device=centres.device)
        out[start : start + rows] = F.normalize(centres[at] + noise, dim=1).cpu().numpy()
    return out
