"""Prometheus metrics of a server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ServerMetrics:
    """The metrics of one server, in a separate registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("ramen_requests", "Requests.", ["path", "status"], registry=self.registry)
        self.seconds = Histogram(
            "ramen_request_seconds", "Time to the response.", ["path"], buckets=_SECONDS, registry=self.registry
        )
        self.texts = Counter("ramen_texts", "Texts tagged.", registry=self.registry)
        self.untagged = Counter("ramen_texts_without_label", "Texts that got no label.", registry=self.registry)
        self.batch = Histogram("ramen_batch_texts", "Texts tagged at once.", buckets=_TEXTS, registry=self.registry)
        self.waiting = Gauge("ramen_waiting_texts", "Texts in the queue.", registry=self.registry)
        self.labels = Gauge("ramen_labels", "Number of labels.", registry=self.registry)
        self.loads = Counter("ramen_loads", "Loads of a run.", ["result"], registry=self.registry)
