"""Prometheus metrics of a worker, and of all workers of a server.

Workers write into files of a folder that ``PROMETHEUS_MULTIPROC_DIR`` names; the supervisor sums them up.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ramen.serve.batcher import BatchResponse

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_LABELS = (0, 1, 2, 3, 5, 10, 20, 50, 100)
_PROBABILITIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


class ServerMetrics:
    """The metrics of one worker, in a separate registry."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"ramen_{name}", text, labels, buckets=buckets, registry=registry)

        self.requests = Counter("ramen_requests", "Requests.", ["path", "status"], registry=registry)
        self.seconds = histogram("request_seconds", "Time to the response.", _SECONDS, "path")
        self.queued = histogram("queue_seconds", "Time of a request in the queue.", _SECONDS)
        self.ranking = histogram("ranking_seconds", "Time of a batch.", _SECONDS)
        self.batch = histogram("batch_texts", "Texts tagged at once.", _TEXTS)
        self.texts = Counter("ramen_texts", "Texts tagged.", registry=registry)
        self.untagged = Counter("ramen_texts_without_label", "Texts that got no label.", registry=registry)
        self.text_labels = histogram("text_labels", "Labels of a text.", _LABELS)
        self.probability = histogram("top_probability", "Probability of a text's first label.", _PROBABILITIES)
        self.cancelled = Counter("ramen_cancelled", "Requests whose client has gone.", registry=registry)
        self.lost_lines = Counter("ramen_lost_log_lines", "Lines that nobody took.", registry=registry)
        self.waiting = Gauge("ramen_waiting_work", "Work in the queue.", registry=registry, multiprocess_mode="livesum")
        self.labels = Gauge("ramen_labels", "Number of labels.", registry=registry, multiprocess_mode="livemax")
        self.run = Gauge(
            "ramen_run_workers", "Workers that serve a run.", ["run", "run_id"], registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._current: tuple[str, str] | None = None

    def show_run(self, name: str, run_id: str, n_labels: int) -> None:
        """Tell which run the worker serves."""
        if self._current is not None:
            self.run.labels(*self._current).set(0)
        self._current = (name, run_id)
        self.run.labels(name, run_id).set(1)
        self.labels.set(n_labels)

    def show_answer(self, answers: BatchResponse) -> None:
        """Count the labels of a request's texts."""
        self.texts.inc(len(answers))
        self.untagged.inc(sum(not answer.n_labels for answer in answers))
        for answer in answers:
            self.text_labels.observe(answer.n_labels)
            if answer.probability is not None:
                self.probability.observe(answer.probability)


class SupervisorMetrics:
    """The metrics of the supervisor, and those of its workers.

    Args:
        folder: into which the workers write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.registry = folder, CollectorRegistry()
        self.loads = Counter("ramen_loads", "Loads of a run by all workers.", ["result"], registry=self.registry)
        self.restarts = Counter("ramen_worker_restarts", "Workers started anew.", registry=self.registry)
        self.workers = Gauge("ramen_workers", "Workers that answer.", registry=self.registry)

    def forget(self, slot: int) -> None:
        """Leave the gauges of an ended worker out; its counters go on with the worker that takes its place."""
        mark_process_dead(slot, str(self.folder))

    def export(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        workers = CollectorRegistry()
        MultiProcessCollector(workers, str(self.folder))
        return generate_latest(self.registry) + generate_latest(workers)
