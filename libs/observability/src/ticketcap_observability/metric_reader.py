"""Reads all metrics once for everybody: for the collector on a timer, for the page when it is asked for.

Two readers of the SDK would keep every measurement twice. Exemplars are
remembered between looks, so that one look does not take them from the other.
"""

import dataclasses
import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    NumberDataPoint,
)

from ticketcap_observability.redaction import redact_under

_EXEMPLARS_KEPT: Final = 20_000

Point = NumberDataPoint | HistogramDataPoint
Series = tuple[str, frozenset[tuple[str, Any]]]
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
        self._exemplars: dict[Series, dict[int, Exemplar]] = {}
        self._stopped = threading.Event()
        if exporter is not None:
            threading.Thread(target=self._run, name="metrics-export", daemon=True).start()

    def count_dropped(self, dropped: Dropped) -> None:
        """Tell ``dropped`` how many points were not delivered; its counter is one of those that are read here."""
        self._dropped = dropped

    def snapshot(self) -> MetricsData | None:
        """Return every metric as it is now, with the newest exemplar of each bucket; None before the first."""
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
        return data

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
        """Add remembered exemplars, and hide what is personal in labels."""
        for metric in metrics_of(data):
            points: list[Any] = list(metric.data.data_points)
            finished = [self._point(metric.name, point) for point in points]
            object.__setattr__(metric.data, "data_points", finished)
        return data

    def _point(self, name: str, point: Any) -> Any:
        attributes = point.attributes or {}
        if isinstance(point, HistogramDataPoint):
            series = name, frozenset(attributes.items())
            changes: dict[str, Any] = {"exemplars": self._remembered(series, point)}
        else:
            changes = {}
        told = {key: _told(key, value) for key, value in attributes.items()}
        if told != dict(attributes):
            changes["attributes"] = told
        return dataclasses.replace(point, **changes) if changes else point

    def _remembered(self, series: Series, point: HistogramDataPoint) -> list[Exemplar]:
        known = self._exemplars.get(series)
        if known is None:
            if len(self._exemplars) >= _EXEMPLARS_KEPT:
                return list(point.exemplars)
            known = self._exemplars[series] = {}
        for exemplar in point.exemplars:
            known[bisect_left(point.explicit_bounds, exemplar.value)] = exemplar
        return [known[bucket] for bucket in sorted(known)]


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
