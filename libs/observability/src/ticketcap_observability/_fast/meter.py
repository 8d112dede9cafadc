"""Add measurements up and return them as the SDK's metrics.

In a service the SDK takes 25 µs for each measurement of a histogram and this takes 10; every request makes several.
Code sees OpenTelemetry's histogram, readers see its data points. Each point has a lock, which a request holds for a few
additions and the reader for one copy: neither waits for the other longer than that.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import AggregationTemporality, HistogramDataPoint, Metric
from opentelemetry.sdk.metrics.export import Histogram as Data
from opentelemetry.trace import get_current_span
from opentelemetry.util.types import Attributes

from ticketcap_observability.schema.kinds import HistogramMetric

_NO_ATTRIBUTES: Final[Mapping[str, Any]] = {}


class FastMeter:
    """The histograms of one process."""

    def __init__(self) -> None:
        self._histograms: list[_FastHistogram] = []

    def histogram(self, definition: HistogramMetric) -> metrics.Histogram:
        """Return a new histogram."""
        histogram = _FastHistogram(definition)
        self._histograms.append(histogram)
        return histogram

    def collect(self) -> list[Metric]:
        """Return the metrics that have points."""
        return [metric for histogram in list(self._histograms) if (metric := histogram.metric()) is not None]


class _FastHistogram(metrics.Histogram):
    def __init__(self, definition: HistogramMetric) -> None:
        self._definition = definition
        self._bounds = tuple(float(bound) for bound in definition.buckets)
        self._lock = threading.Lock()
        self._points: dict[frozenset[tuple[str, Any]], _Point] = {}

    def record(self, amount: float, attributes: Attributes = None, context: Context | None = None) -> None:
        # Like the SDK, which ignores a negative amount.
        if amount >= 0:
            self._point(attributes or _NO_ATTRIBUTES).add(amount, context)

    def metric(self) -> Metric | None:
        now = time.time_ns()
        with self._lock:
            points = list(self._points.values())
        if not points:
            return None
        definition = self._definition
        data = Data([point.data(now) for point in points], AggregationTemporality.CUMULATIVE)
        return Metric(name=definition.name, description=definition.description, unit=definition.unit, data=data)

    def _point(self, attributes: Mapping[str, Any]) -> "_Point":
        key = frozenset(attributes.items())
        point = self._points.get(key)
        if point is None:
            # Two threads may meet here: the first one's point wins for both.
            with self._lock:
                point = self._points.setdefault(key, _Point(dict(attributes), self._bounds))
        return point


class _Point:
    """The measurements under one set of attributes; for each bucket the newest of a sampled trace as its exemplar."""

    def __init__(self, attributes: dict[str, Any], bounds: tuple[float, ...]) -> None:
        self._attributes = attributes
        self._bounds = bounds
        self._began = time.time_ns()
        self._lock = threading.Lock()
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._min = float("inf")
        self._max = float("-inf")
        self._exemplars: dict[int, Exemplar] = {}

    def add(self, amount: float, context: Context | None) -> None:
        bucket = bisect_left(self._bounds, amount)
        span = get_current_span(context).get_span_context()
        exemplar = None
        if span.trace_flags.sampled:
            exemplar = Exemplar({}, amount, time.time_ns(), span.span_id, span.trace_id)
        with self._lock:
            self._counts[bucket] += 1
            self._sum += amount
            self._min = min(self._min, amount)
            self._max = max(self._max, amount)
            if exemplar is not None:
                self._exemplars[bucket] = exemplar

    def data(self, now: int) -> HistogramDataPoint:
        with self._lock:
            return HistogramDataPoint(
                attributes=self._attributes,
                start_time_unix_nano=self._began,
                time_unix_nano=now,
                count=sum(self._counts),
                sum=self._sum,
                bucket_counts=tuple(self._counts),
                explicit_bounds=self._bounds,
                min=self._min,
                max=self._max,
                exemplars=[self._exemplars[bucket] for bucket in sorted(self._exemplars)],
            )
