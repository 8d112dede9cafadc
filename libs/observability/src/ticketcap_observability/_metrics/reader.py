"""Read all metrics once, for the page and for the collector.

Two readers of the SDK would hold every measurement twice.
"""

import dataclasses
import threading
from collections.abc import Mapping
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

from ticketcap_observability._fast.meter import FastMeter
from ticketcap_observability._metrics.instruments import Counter
from ticketcap_observability.redaction import redact_under

SCOPE: Final = "ticketcap"


class SharedReader(MetricReader):
    """Reads on demand for the page, and every ``interval`` seconds for a collector when it has an exporter."""

    def __init__(self, *, interval: float = 60.0, fast: FastMeter | None = None) -> None:
        super().__init__()
        self.fast = fast
        self._interval = interval
        self._exporter: MetricExporter | None = None
        self._dropped: Counter | None = None
        self._lock = threading.Lock()
        self._latest: MetricsData | None = None
        self._stopped = threading.Event()

    def export(self, exporter: MetricExporter | None, dropped: Counter) -> None:
        """Export from now on; count the points that are not delivered. None exports nothing."""
        self._exporter, self._dropped = exporter, dropped
        if exporter is not None:
            threading.Thread(target=self._run, name="metrics-export", daemon=True).start()

    def snapshot(self) -> MetricsData | None:
        """Return every metric as it is now, redacted; None before the first."""
        # The page's thread and the export's may read at once, and the SDK hands the data over in an attribute.
        with self._lock:
            self.collect()
            data, self._latest = self._latest, None
        if self.fast is not None:
            data = _with(data, self.fast.collect())
        for metric in metrics_of(data):
            points: list[Any] = list(metric.data.data_points)
            object.__setattr__(metric.data, "data_points", [_redacted(point) for point in points])
        return data

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Export once more, and end."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        if self._exporter is not None:
            self._export(self._exporter)
            self._exporter.shutdown(timeout_millis)

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> None:  # noqa: ARG002 - the SDK's shape
        self._latest = metrics_data

    def _run(self) -> None:
        while self._exporter is not None and not self._stopped.wait(self._interval):
            self._export(self._exporter)

    def _export(self, exporter: MetricExporter) -> None:
        data = self.snapshot()
        if data is None:
            return
        result = MetricExportResult.FAILURE
        try:
            result = exporter.export(data)
        finally:
            if result is not MetricExportResult.SUCCESS and self._dropped is not None:
                lost = sum(len(metric.data.data_points) for metric in metrics_of(data))
                self._dropped.add(lost, signal="metrics", reason="export_failed")


def _with(data: MetricsData | None, metrics: list[Metric]) -> MetricsData | None:
    """Return ``data`` with ``metrics`` under its resource and scope."""
    if not metrics:
        return data
    if data is None or not data.resource_metrics:
        scope = ScopeMetrics(InstrumentationScope(SCOPE), metrics, "")
        return MetricsData([ResourceMetrics(Resource({}), [scope], "")])
    resource = data.resource_metrics[0]
    scope = resource.scope_metrics[0]
    scopes = [dataclasses.replace(scope, metrics=[*scope.metrics, *metrics]), *resource.scope_metrics[1:]]
    return MetricsData([dataclasses.replace(resource, scope_metrics=scopes), *data.resource_metrics[1:]])


def metrics_of(data: MetricsData | None) -> list[Metric]:
    """Return every metric of every scope."""
    if data is None:
        return []
    return [
        metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    ]


def resource_of(data: MetricsData) -> Mapping[str, Any]:
    """Return the attributes of the process that the metrics are of."""
    return data.resource_metrics[0].resource.attributes if data.resource_metrics else {}


def _redacted(point: Any) -> Any:
    attributes = {key: _redacted_value(key, value) for key, value in (point.attributes or {}).items()}
    return point if attributes == dict(point.attributes or {}) else dataclasses.replace(point, attributes=attributes)


@lru_cache(maxsize=4096)
def _redacted_value(key: str, value: object) -> object:
    return redact_under(key, value)
