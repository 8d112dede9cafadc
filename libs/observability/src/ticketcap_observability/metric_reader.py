"""Reads all metrics once for everybody: for the collector on a timer, for the page when it is asked for.

Two readers of the SDK would keep every measurement twice. Histograms are not
the SDK's (see ``histograms``): ``add`` says what they have measured.
"""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from opentelemetry.sdk.metrics.export import (
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ticketcap_observability.redaction import redact_under

SCOPE: Final = "ticketcap"

Measured = Callable[[], list[Metric]]
Dropped = Callable[[int], None]


class SharedReader(MetricReader):
    """Exports every ``interval`` seconds when there is an exporter; ``snapshot`` serves the page."""

    def __init__(self, exporter: MetricExporter | None, *, interval: float) -> None:
        super().__init__()
        self._exporter = exporter
        self._interval = interval
        self._dropped: Dropped = lambda _: None
        self._lock = threading.Lock()
        self._latest: MetricsData | None = None
        self._measured: Measured = list
        self._stopped = threading.Event()
        if exporter is not None:
            threading.Thread(target=self._run, name="metrics-export", daemon=True).start()

    def count_dropped(self, dropped: Dropped) -> None:
        """Tell ``dropped`` how many points were not delivered; its counter is one of those that are read here."""
        self._dropped = dropped

    def add(self, measured: Measured) -> None:
        """Read what ``measured`` returns along with the SDK's own metrics."""
        self._measured = measured

    def snapshot(self) -> MetricsData | None:
        """Return every metric as it is now; None before the first."""
        with self._lock:
            data = self._collected()
            return None if data is None else self._finished(data)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Export once more, and end."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        if self._exporter is not None:
            self._export()
            self._exporter.shutdown(timeout_millis)

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> None:  # noqa: ARG002 - the SDK's shape
        self._latest = metrics_data

    def _collected(self) -> MetricsData | None:
        self.collect()
        data, self._latest = self._latest, None
        measured = self._measured()
        return _with(data, measured) if measured else data

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            self._export()

    def _export(self) -> None:
        data = self.snapshot()
        if data is None or self._exporter is None:
            return
        result = MetricExportResult.FAILURE
        try:
            result = self._exporter.export(data)
        finally:
            if result is not MetricExportResult.SUCCESS:
                self._dropped(sum(len(metric.data.data_points) for metric in metrics_of(data)))

    def _finished(self, data: MetricsData) -> MetricsData:
        """Hide what is personal in labels."""
        for metric in metrics_of(data):
            points: list[Any] = list(metric.data.data_points)
            object.__setattr__(metric.data, "data_points", [_without_persons(point) for point in points])
        return data


def _with(data: MetricsData | None, measured: Sequence[Metric]) -> MetricsData:
    """Return ``data`` and what was measured, under the same resource and scope."""
    if data is None or not data.resource_metrics:
        scope = ScopeMetrics(InstrumentationScope(SCOPE), measured, "")
        return MetricsData([ResourceMetrics(Resource({}), [scope], "")])
    first, *others = data.resource_metrics
    scope = first.scope_metrics[0]
    scopes = [dataclasses.replace(scope, metrics=[*scope.metrics, *measured]), *first.scope_metrics[1:]]
    return MetricsData([dataclasses.replace(first, scope_metrics=scopes), *others])


def _without_persons(point: Any) -> Any:
    attributes = point.attributes or {}
    told = {key: _told(key, value) for key, value in attributes.items()}
    return point if told == dict(attributes) else dataclasses.replace(point, attributes=told)


def metrics_of(data: MetricsData) -> list[Metric]:
    """Return every metric, whichever scope made it."""
    return [
        metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    ]


def resource_of(data: MetricsData) -> Mapping[str, Any]:
    """Return what the metrics say of their process."""
    return data.resource_metrics[0].resource.attributes if data.resource_metrics else {}


@lru_cache(maxsize=4096)
def _told(key: str, value: object) -> object:
    return redact_under(key, value)
